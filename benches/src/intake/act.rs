//! What no well-kept server would do, played on the bare stream.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Where an endless head ends, lest a client without limits fill the memory of both.
const ENDLESS_BYTES_MAX: usize = 64 << 20;

/// What is played on a connection that was taken out of hyper's hands.
pub(super) enum Act {
    Reset,
    Silence,
    Drip(Duration),
    WrongLength,
    EndlessHeaders,
}

impl Act {
    /// Plays it; returns when the connection is over. `socket` finds the TCP stream below.
    ///
    /// # Errors
    ///
    /// Those of a client that gave up.
    pub(super) async fn play<S>(self, mut stream: S, socket: fn(&S) -> &TcpStream) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match self {
            // Closing with data unsent discards it and sends RST instead of FIN.
            Self::Reset => return socket(&stream).set_zero_linger(),
            Self::Silence => {}
            Self::Drip(pause) => {
                let answer =
                    b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
                for &byte in answer {
                    tokio::time::sleep(pause).await;
                    stream.write_all(&[byte]).await?;
                    stream.flush().await?;
                }
                return stream.shutdown().await;
            }
            Self::WrongLength => {
                stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 100\r\n\r\n{}").await?;
                return stream.shutdown().await;
            }
            Self::EndlessHeaders => {
                stream.write_all(b"HTTP/1.1 202 Accepted\r\n").await?;
                let field = format!("x-more: {}\r\n", "a".repeat(4_000));
                for _ in 0..ENDLESS_BYTES_MAX / field.len() {
                    stream.write_all(field.as_bytes()).await?;
                }
                stream.flush().await?;
            }
        }
        // Keep the connection until the client closes it.
        let mut ignored = [0; 4096];
        while stream.read(&mut ignored).await? > 0 {}
        Ok(())
    }
}
