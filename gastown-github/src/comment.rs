//! Comments under a pull request.

use crate::client::bad;
use crate::error_body::ErrorBody;
use crate::github::GitHub;
use crate::observation::CommentOutcome;
use crate::rate_limit::Urgency;
use crate::request;
use crate::response::comment_url;
use crate::url::PullRequestUrl;

impl GitHub {
    /// Posts a comment. It is sent once; after [`CommentOutcome::Error`] it may stand there.
    pub async fn comment(&self, on: &PullRequestUrl, text: &str) -> CommentOutcome {
        let session = self.session(&on.host, &on.repository, Urgency::Watch);
        let request = request::comment(&on.host, &on.repository, on.number, text);
        let answer = match session.write(request).await {
            Ok(answer) => answer,
            Err(failure) => {
                return CommentOutcome::Error {
                    error: failure.error,
                };
            }
        };
        let status = answer.status();
        if status.is_success() {
            CommentOutcome::Posted {
                url: comment_url(&answer),
            }
        } else if status.is_client_error() {
            let message = ErrorBody::read(answer.body()).message_or(status.as_u16());
            CommentOutcome::Refused {
                status: status.as_u16(),
                message,
            }
        } else {
            CommentOutcome::Error {
                error: bad(&answer),
            }
        }
    }
}
