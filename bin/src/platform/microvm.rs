//! AWS Lambda MicroVM: tags from the image's ARN
//! (`arn:aws:lambda:<region>:<account>:microvm-image:<name>`).

use super::{Tags, value};
use crate::config::sources::Environment;

/// Tags of a MicroVM.
pub(super) fn tags(environment: &Environment) -> Tags {
    let mut tags = Tags::new();
    tags.insert("resource_type", "lambdamicrovm".to_owned());
    tags.insert("resource_provider", "aws".to_owned());
    let Some(arn) = value(environment, "AWS_LAMBDA_MICROVM_IMAGE_ARN") else { return tags };
    let mut parts = arn.split(':').skip(3);
    let keys = ["region", "account_id", "", "image_name"];
    for (key, part) in keys.into_iter().zip(&mut parts) {
        if !key.is_empty() && !part.is_empty() {
            tags.insert(key, part.to_owned());
        }
    }
    tags.insert("resource_id", arn);
    tags
}
