//! Who else is on the forge: the checks that run there, a reviewer, and somebody who gets in the
//! way.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gastown_testkit::fake_github::{
    ACTIONS_APP, Conclusion, FakeError, FakeGitHub, PullRequest, PullState, Verdict, World,
};

use super::OWNER;
use crate::directory::Directory;
use crate::git::{GitError, Repository};
use crate::origins::{DEFAULT_BRANCH, ORIGINS};

/// How often they look around.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Who reviews.
const REVIEWER: &str = "ann";
/// The work that somebody gets in the way of, and with which file.
const HINDERED: &str = "Count words";
const HINDRANCE: (&str, &str) = (
    "lib/words.sh",
    "# words TEXT: somebody else's idea of it.\n",
);

/// What one of them could not do.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Forge(#[from] FakeError),
    #[error(transparent)]
    Git(#[from] GitError),
    #[error("{0}")]
    File(#[from] std::io::Error),
}

/// Everybody else on the forge.
pub(super) struct Neighbours {
    fake: FakeGitHub,
    origins: Vec<(String, PathBuf)>,
    work: PathBuf,
    /// Heads that were checked.
    checked: BTreeSet<String>,
    has_hindered: bool,
    story: Story,
}

/// What they did, one line after the other.
pub(super) type Story = Arc<Mutex<Vec<String>>>;

impl Neighbours {
    pub(super) fn new(fake: FakeGitHub, directory: &Directory, story: Story) -> Self {
        let origin = |rig: &str| (format!("{OWNER}/{rig}"), directory.origin(rig));
        Self {
            fake,
            origins: ORIGINS.iter().map(|it| origin(it.rig)).collect(),
            work: directory.path().join("checks"),
            checked: BTreeSet::new(),
            has_hindered: false,
            story,
        }
    }

    fn tell(&self, line: String) {
        let mut story = self.story.lock().unwrap_or_else(PoisonError::into_inner);
        story.push(line);
    }

    /// Looks around again and again, until the forge closes.
    pub(super) async fn live(mut self) {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            // Checks are processes: they run beside the town.
            let looked = tokio::task::spawn_blocking(move || {
                let result = self.look();
                (self, result)
            });
            let Ok((back, result)) = looked.await else {
                return;
            };
            self = back;
            if let Err(trouble) = result {
                eprintln!("on the forge: {trouble}");
            }
        }
    }

    fn look(&mut self) -> Result<(), Trouble> {
        for (name, origin) in self.origins.clone() {
            for pull in self.open(&name)? {
                if pull.title == HINDERED && !self.has_hindered {
                    self.has_hindered = true;
                    let push = |world: &mut World| {
                        world.repository(&name)?.push(DEFAULT_BRANCH, &[HINDRANCE])
                    };
                    self.fake.edit(push)?;
                    self.tell(format!("somebody pushes {} to {name}", HINDRANCE.0));
                }
                if self.checked.insert(pull.head_sha.clone()) {
                    self.check(&name, &origin, &pull)?;
                }
                self.review(&name, pull.number)?;
            }
        }
        Ok(())
    }

    fn open(&self, name: &str) -> Result<Vec<PullRequest>, Trouble> {
        let found = self.fake.edit(|world| {
            let repository = world.repository(name)?;
            let open = repository.pulls().filter(|it| it.state == PullState::Open);
            Ok::<_, FakeError>(open.cloned().collect())
        });
        Ok(found?)
    }

    /// Runs the repository's own tests on the head, and looks for what its REVIEW.md wants.
    fn check(&self, name: &str, origin: &Path, pull: &PullRequest) -> Result<(), Trouble> {
        let head = &pull.head_sha;
        let clone = self.work.join(head);
        std::fs::create_dir_all(&clone)?;
        let repository = Repository::new(&clone);
        let from = origin.display().to_string();
        repository.run(&["clone", "--quiet", "--shared", &from, "."])?;
        repository.run(&["checkout", "--quiet", "--detach", head])?;
        let tests = Command::new("sh")
            .arg("tests/run.sh")
            .current_dir(&clone)
            .output()?;
        let range = format!("origin/{DEFAULT_BRANCH}...{head}");
        let changed = repository.run(&["diff", "--name-only", &range])?;
        let untested = changed.lines().find(|file| {
            let name = file
                .strip_prefix("lib/")
                .and_then(|it| it.strip_suffix(".sh"));
            name.is_some_and(|name| {
                let cases = std::fs::read_to_string(clone.join(format!("tests/{name}.test")));
                !cases.unwrap_or_default().contains("\"edge:")
            })
        });
        let verdict = |passes| {
            Some(if passes {
                Conclusion::Success
            } else {
                Conclusion::Failure
            })
        };
        self.fake.edit(|world| {
            let repository = world.repository(name)?;
            let passes = tests.status.success();
            repository.report_check(head, "tests", ACTIONS_APP, verdict(passes));
            let complete = untested.is_none();
            repository.report_check(head, "edge-cases", ACTIONS_APP, verdict(complete));
            if let Some(file) = untested {
                let text = "What about the edges? REVIEW.md wants a case for them.";
                repository.open_thread(pull.number, REVIEWER, file, text)?;
            }
            Ok::<_, FakeError>(())
        })?;
        let word = |passes| if passes { "passes" } else { "fails" };
        let (tests, edges) = (word(tests.status.success()), word(untested.is_none()));
        let pull = shown(name, pull);
        self.tell(format!("{pull}: tests {tests}, edge-cases {edges}"));
        if untested.is_some() {
            self.tell(format!("{pull}: {REVIEWER} asks for cases for the edges"));
        }
        std::fs::remove_dir_all(&clone)?;
        Ok(())
    }

    /// Approves a head when its checks pass and every question is answered.
    fn review(&self, name: &str, number: u64) -> Result<(), Trouble> {
        let approved = self.fake.edit(|world| {
            let repository = world.repository(name)?;
            let Some(pull) = repository.pull(number).cloned() else {
                return Ok(None);
            };
            let passes = |check: &str| {
                let runs = repository.checks();
                runs.iter().any(|it| {
                    it.commit == pull.head_sha
                        && it.name == check
                        && it.conclusion == Some(Conclusion::Success)
                })
            };
            let is_answered = pull.threads.iter().all(|it| it.resolved);
            let is_approved = pull.reviews.iter().any(|it| it.commit == pull.head_sha);
            if is_answered && !is_approved && passes("tests") && passes("edge-cases") {
                repository.review(number, REVIEWER, Verdict::Approve, "Good.")?;
                return Ok(Some(shown(name, &pull)));
            }
            Ok::<_, FakeError>(None)
        })?;
        if let Some(pull) = approved {
            self.tell(format!("{pull}: {REVIEWER} approves"));
        }
        Ok(())
    }
}

/// What became of the pull requests.
pub(super) fn ends(world: &mut World) -> Result<Vec<String>, FakeError> {
    let mut lines = Vec::new();
    for origin in &ORIGINS {
        let name = format!("{OWNER}/{}", origin.rig);
        for pull in world.repository(&name)?.pulls() {
            let end = match (&pull.state, &pull.merge_commit, &pull.merged_by) {
                (PullState::Merged, Some(commit), Some(by)) => {
                    format!("merged by {by} as {}", commit.get(..7).unwrap_or(commit))
                }
                (PullState::Merged | PullState::Closed, _, _) => "closed".to_owned(),
                (PullState::Open, _, _) => "open".to_owned(),
            };
            lines.push(format!("{}: {end}", shown(&name, pull)));
        }
    }
    Ok(lines)
}

fn shown(name: &str, pull: &PullRequest) -> String {
    format!("{name}#{} \"{}\"", pull.number, pull.title)
}
