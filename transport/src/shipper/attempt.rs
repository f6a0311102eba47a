//! Between the forwarder and the connections: a dispatch as a request, a result as an attempt.

use crate::forward::endpoint::Dispatch;
use crate::forward::outcome::{Attempt, NotSent as NotSentClass, Sent, Taken, Unanswered};
use crate::forward::retry_after;
use crate::forward::transaction::{ArbitraryTags, HeaderValue, headers};
use crate::http::{self, Method, Path, Request, ResponseError};
use crate::net::{self, Answer, Broken, Failure, Late, NotSent, Phase};

/// The request that carries a payload.
pub(super) fn request(
    dispatch: &Dispatch,
    tags: ArbitraryTags,
) -> Result<Request, http::RequestError> {
    let payload = &dispatch.payload;
    let headers = headers(payload, &dispatch.key, tags)
        .map(|header| match header.value {
            HeaderValue::Plain(value) => http::Header::new(header.name, value),
            HeaderValue::Secret(key) => http::Header::secret(header.name, key.expose()),
        })
        .collect::<Result<_, _>>()?;
    let path = Path::new(payload.kind.path())?;
    Ok(Request { method: Method::Post, path, headers, body: payload.body.clone() })
}

/// What a result of the connections means to the forwarder; `now_s` is seconds since 1970.
pub(super) fn attempt(result: &Result<Answer, Failure>, now_s: u64) -> Attempt {
    match result {
        Ok(answer) => answered(answer, now_s),
        Err(Failure::NotSent(why)) => Attempt::NotSent { why: not_sent(why) },
        Err(Failure::WhileSending(why)) => {
            // At the deadline it isn't known what of the request has left.
            let sent = match why {
                Broken::Late(Late::Deadline) => Sent::Whole,
                _ => Sent::Part,
            };
            Attempt::Unanswered { sent, why: unanswered(why) }
        }
        Err(Failure::NoAnswer(why)) => {
            Attempt::Unanswered { sent: Sent::Whole, why: unanswered(why) }
        }
    }
}

fn answered(answer: &Answer, now_s: u64) -> Attempt {
    let pause = answer.retry_after.as_deref();
    Attempt::Answered {
        status: answer.status,
        retry_after: pause.and_then(|value| retry_after::parse(value, now_s)),
        before: match answer.sent_before {
            net::Sent::Nothing | net::Sent::Part => Taken::No,
            net::Sent::Whole => Taken::Maybe,
        },
    }
}

fn not_sent(why: &NotSent) -> NotSentClass {
    match why {
        NotSent::Resolve(_) => NotSentClass::Resolve,
        NotSent::Connect(_) => NotSentClass::Connect,
        NotSent::Proxy(_) => NotSentClass::Proxy,
        NotSent::Tls(_) => NotSentClass::Tls,
        NotSent::Late(Late::Deadline, _) => NotSentClass::Deadline,
        NotSent::Late(Late::Timeout, phase) => match phase {
            Phase::Resolving => NotSentClass::Resolve,
            Phase::Tunneling => NotSentClass::Proxy,
            Phase::Handshaking => NotSentClass::Tls,
            Phase::Waiting => NotSentClass::Local,
            Phase::Connecting | Phase::Sending => NotSentClass::Connect,
        },
        NotSent::Broken(_) => NotSentClass::Connect,
        NotSent::TooManyWaiting => NotSentClass::Local,
    }
}

fn unanswered(why: &Broken) -> Unanswered {
    match why {
        Broken::Late(Late::Deadline) => Unanswered::Deadline,
        Broken::Late(Late::Timeout) => Unanswered::Timeout,
        Broken::Answer(ResponseError::ClosedBeforeResponse) | Broken::Socket(_) => {
            Unanswered::Closed
        }
        Broken::Answer(ResponseError::TruncatedHead | ResponseError::TruncatedBody) => {
            Unanswered::Truncated
        }
        Broken::Answer(_) | Broken::Tls(_) => Unanswered::Malformed,
    }
}
