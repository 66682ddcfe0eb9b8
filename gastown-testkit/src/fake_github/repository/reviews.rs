//! Reviews, threads and comments.

use super::super::FakeError;
use super::super::pull_request::{Comment, Review, Thread, Verdict};
use super::super::webhooks;
use super::Repository;

impl Repository {
    /// Reviews the head of a pull request.
    ///
    /// # Errors
    /// [`FakeError`] if there is none, or for an author's own.
    pub fn review(
        &mut self,
        number: u64,
        author: &str,
        verdict: Verdict,
        body: &str,
    ) -> Result<u64, FakeError> {
        let (id, at) = (self.next_id(), self.now());
        let pull = self.need_pull(number)?;
        if pull.author == author && verdict != Verdict::Comment {
            let verb = if verdict == Verdict::Approve {
                "approve"
            } else {
                "request changes on"
            };
            return Err(FakeError::new(format!(
                "Review Can not {verb} your own pull request"
            )));
        }
        pull.reviews.push(Review {
            id,
            author: author.to_owned(),
            verdict,
            dismissed: false,
            body: body.to_owned(),
            commit: pull.head_sha.clone(),
            at,
        });
        pull.updated_at = at;
        self.tell(webhooks::review(self, number, id, "submitted"));
        Ok(id)
    }

    /// Begins a thread of review comments.
    ///
    /// # Errors
    /// [`FakeError`] if there is no such pull request.
    pub fn open_thread(
        &mut self,
        number: u64,
        author: &str,
        path: &str,
        body: &str,
    ) -> Result<u64, FakeError> {
        let id = self.next_id();
        let comment = self.comment_of(author, body);
        let at = comment.at;
        let pull = self.need_pull(number)?;
        pull.threads.push(Thread {
            id,
            path: path.to_owned(),
            resolved: false,
            outdated: false,
            comments: vec![comment],
        });
        pull.updated_at = at;
        self.tell(webhooks::review_comment(self, number, id));
        Ok(id)
    }

    fn comment_of(&self, author: &str, body: &str) -> Comment {
        Comment {
            id: self.next_id(),
            author: author.to_owned(),
            body: body.to_owned(),
            at: self.now(),
        }
    }

    fn need_thread(&mut self, id: u64) -> Result<(u64, &mut Thread), FakeError> {
        for pull in self.pulls.values_mut() {
            if let Some(thread) = pull.threads.iter_mut().find(|it| it.id == id) {
                return Ok((pull.number, thread));
            }
        }
        Err(FakeError::new(format!("there is no thread {id}")))
    }

    pub(in crate::fake_github) fn has_thread(&self, id: u64) -> bool {
        let mut threads = self.pulls.values().flat_map(|it| &it.threads);
        threads.any(|it| it.id == id)
    }

    /// Answers in a thread.
    ///
    /// # Errors
    /// [`FakeError`] if there is no such thread.
    pub fn reply(&mut self, thread: u64, author: &str, body: &str) -> Result<(), FakeError> {
        let comment = self.comment_of(author, body);
        let (number, found) = self.need_thread(thread)?;
        found.comments.push(comment);
        self.tell(webhooks::review_comment(self, number, thread));
        Ok(())
    }

    /// Settles a thread, or opens it again.
    ///
    /// # Errors
    /// [`FakeError`] if there is no such thread.
    pub fn resolve_thread(&mut self, thread: u64, resolved: bool) -> Result<(), FakeError> {
        let (number, found) = self.need_thread(thread)?;
        found.resolved = resolved;
        let action = if resolved { "resolved" } else { "unresolved" };
        self.tell(webhooks::review_thread(self, number, thread, action));
        Ok(())
    }

    /// Writes a comment below a pull request.
    ///
    /// # Errors
    /// [`FakeError`] if there is none.
    pub fn comment(&mut self, number: u64, author: &str, body: &str) -> Result<u64, FakeError> {
        let comment = self.comment_of(author, body);
        let id = comment.id;
        self.need_pull(number)?.comments.push(comment);
        Ok(id)
    }
}
