//! A bare repository that follows an origin.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::JoinHandle;

use super::bare::Bare;
use super::{Git, GitAccess, GitError, check_url};

/// How many save their work at once: servers refuse more connections than ten or so that come at
/// the same time.
const SAVES_AT_ONCE_MAX: usize = 8;

/// A bare repository that follows an origin: its branches are at `refs/remotes/origin/`.
///
/// A fetch is a task of its own, one at a time, and has the turn: it goes on when its caller is
/// gone, because git keeps nothing of one that is cut off, and the first of a large repository
/// takes longer than callers wait. It ends with the mirror.
#[derive(Debug)]
pub(crate) struct Mirror {
    bare: Bare,
    turn: Arc<Mutex<()>>,
    saves: Arc<Semaphore>,
    fetch: std::sync::Mutex<Option<Task>>,
    /// How many wait for the turn who can't wait for a fetch that nobody else waits for.
    urgent: watch::Sender<usize>,
    /// What nobody else may have while git runs here.
    in_use: Option<Arc<File>>,
}

/// The right to change the mirror and its worktrees.
#[derive(Debug)]
pub(crate) struct Turn {
    _guard: OwnedMutexGuard<()>,
}

/// The right to save work from a worktree.
#[derive(Debug)]
pub(crate) struct PlaceToSave {
    /// For as long as something changes here.
    pub(crate) turn: Turn,
    pub(crate) _permit: Option<OwnedSemaphorePermit>,
}

/// A task that ends with its owner.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Mirror {
    /// The mirror at `path`; `in_use` is held for as long as git may run for it.
    pub(crate) fn new(git: Git, path: PathBuf, in_use: Option<Arc<File>>) -> Self {
        Self {
            bare: Bare::new(git, path),
            turn: Arc::default(),
            saves: Arc::new(Semaphore::new(SAVES_AT_ONCE_MAX)),
            fetch: std::sync::Mutex::default(),
            urgent: watch::Sender::new(0),
            in_use,
        }
    }

    /// Whoever changes the mirror or its worktrees takes turns.
    pub(crate) async fn turn(&self) -> Turn {
        let _guard = Arc::clone(&self.turn).lock_owned().await;
        Turn { _guard }
    }

    /// Waits until work can be saved: for the turn, and while many save. A fetch that nobody waits
    /// for any more is ended for it.
    pub(crate) async fn place_to_save(&self) -> PlaceToSave {
        let _urgent = Urgent::new(&self.urgent);
        // It is never closed.
        let _permit = Arc::clone(&self.saves).acquire_owned().await.ok();
        PlaceToSave {
            turn: self.turn().await,
            _permit,
        }
    }

    /// Makes the repository if it is not there, and fetches the origin's branches, once the turn
    /// has come; returns the turn.
    ///
    /// Dropped before its turn it does nothing; later the fetch goes on by itself. Whoever comes
    /// next waits for its end and fetches what has changed since: the origin is always read after
    /// the call.
    ///
    /// # Errors
    /// What git says, or [`GitError::Closed`].
    pub(crate) async fn fetch(&self, url: &str, access: &GitAccess) -> Result<Turn, GitError> {
        check_url(url)?;
        let turn = self.turn().await;
        self.fetch_again(turn, url, access).await
    }

    /// [`Mirror::fetch`] for whoever has the turn.
    pub(crate) async fn fetch_again(
        &self,
        turn: Turn,
        url: &str,
        access: &GitAccess,
    ) -> Result<Turn, GitError> {
        check_url(url)?;
        let (answer, answered) = oneshot::channel();
        let fetch = Fetch {
            in_use: self.in_use.clone(),
            bare: self.bare.clone(),
            url: url.to_owned(),
            access: access.clone(),
        };
        let task = Task(tokio::spawn(fetch.run(
            turn,
            answer,
            self.urgent.subscribe(),
        )));
        // The one before had given its turn back, so it is over.
        *self.fetch.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        answered.await.unwrap_or_else(|_| {
            Err(GitError::Closed {
                command: "git fetch".into(),
            })
        })
    }

    /// Ends a fetch that is under way; whoever waits for it is told.
    pub(crate) async fn end_fetch(&self) {
        let task = {
            let mut fetch = self.fetch.lock().unwrap_or_else(PoisonError::into_inner);
            fetch.take()
        };
        if let Some(mut task) = task {
            task.0.abort();
            // That it was cut off is what was wanted.
            let _ = (&mut task.0).await;
        }
    }

    /// The commit that `revision` names, if there is one.
    pub(crate) async fn commit(&self, revision: &str) -> Result<Option<String>, GitError> {
        let commit = format!("{revision}^{{commit}}");
        let args = [
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &commit,
        ];
        match self.local(&args).await {
            Ok(sha) => Ok(Some(sha)),
            Err(GitError::Failed { code: Some(1), .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The head of a branch of the origin, as of the last fetch.
    pub(crate) async fn origin_head(&self, branch: &str) -> Result<Option<String>, GitError> {
        self.commit(&format!("refs/remotes/origin/{branch}")).await
    }

    /// Whether `ancestor` is `descendant` or one of its ancestors. Both are full hashes.
    pub(crate) async fn is_ancestor(
        &self,
        ancestor: &str,
        descendant: &str,
    ) -> Result<bool, GitError> {
        let args = ["merge-base", "--is-ancestor", ancestor, descendant];
        self.bare.ask(&args).await
    }

    /// Runs git in the mirror, without the network.
    pub(crate) async fn local(&self, args: &[&str]) -> Result<String, GitError> {
        self.bare.local(args).await
    }

    /// Runs git in a worktree of the mirror, without the network.
    pub(crate) async fn at(&self, worktree: &Path, args: &[&str]) -> Result<String, GitError> {
        self.bare.run(worktree, &GitAccess::none(), args).await
    }

    /// Runs git in the mirror with access to the origin.
    pub(crate) async fn remote(
        &self,
        access: &GitAccess,
        args: &[&str],
    ) -> Result<String, GitError> {
        self.bare.run(&self.bare.path, access, args).await
    }
}

/// A fetch on its way.
struct Fetch {
    in_use: Option<Arc<File>>,
    bare: Bare,
    url: String,
    access: GitAccess,
}

type Answer = oneshot::Sender<Result<Turn, GitError>>;

impl Fetch {
    /// Fetches, and hands over the turn; without anybody to take it, the turn ends.
    async fn run(self, turn: Turn, mut answer: Answer, urgent: watch::Receiver<usize>) {
        let Self {
            in_use,
            bare,
            url,
            access,
        } = self;
        let fetched = tokio::select! {
            biased;
            fetched = bare.fetch(&url, &access) => fetched,
            () = in_the_way(&mut answer, urgent) => {
                tracing::info!(path = %bare.path.display(), "ended a fetch that nobody waited for");
                return;
            }
        };
        if let Err(Err(error)) = answer.send(fetched.map(|()| turn)) {
            tracing::warn!(path = %bare.path.display(), %error, "a fetch that nobody waited for failed");
        }
        drop(in_use);
    }
}

/// Returns once nobody waits for the fetch and somebody waits who can't.
async fn in_the_way(answer: &mut Answer, mut urgent: watch::Receiver<usize>) {
    answer.closed().await;
    // Without the mirror it is in everybody's way.
    let _ = urgent.wait_for(|waiting| *waiting > 0).await;
}

/// Counts one who can't wait.
struct Urgent<'a>(&'a watch::Sender<usize>);

impl<'a> Urgent<'a> {
    fn new(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count = count.saturating_add(1));
        Self(count)
    }
}

impl Drop for Urgent<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

#[cfg(test)]
#[path = "mirror_tests.rs"]
mod tests;
