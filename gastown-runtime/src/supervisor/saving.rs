//! How long the saving of work is waited for (spec 6.4).

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use gastown_core::{AgentRuntimeError, SavedWork, SessionId, TownId};
use tokio::sync::watch;
use tokio::time::sleep;

use super::Supervisor;

/// A save that waits for its turn needs those before it to end, within their deadlines. Nothing of
/// a town that ends for so many deadlines is a runtime that hangs.
const DEADLINES_QUIET_MAX: u32 = 2;

/// The saves of each town: whoever waits in one hears that another has ended.
#[derive(Debug, Default)]
pub(super) struct Saves(Mutex<BTreeMap<TownId, watch::Sender<()>>>);

impl Supervisor {
    /// Saves the work that an ended session left; none where there is nothing to save.
    ///
    /// Its own work may take [`save_deadline`](super::SupervisorSettings::save_deadline). It may wait
    /// for its turn as long as others of its town go on: until none has ended for twice that time.
    ///
    /// # Errors
    /// [`AgentRuntimeError::Unknown`]: it may not be saved.
    pub async fn save_work(
        &self,
        session: &SessionId,
    ) -> Result<Option<SavedWork>, AgentRuntimeError> {
        let deadline = self.settings.save_deadline;
        let save = self.runtime.save_work(session, deadline);
        self.saves.while_some_end(session, deadline, save).await
    }
}

impl Saves {
    async fn while_some_end<T>(
        &self,
        session: &SessionId,
        deadline: Duration,
        save: impl Future<Output = Result<T, AgentRuntimeError>>,
    ) -> Result<T, AgentRuntimeError> {
        let mut ended = self.of(&session.town_id);
        let quiet = deadline.saturating_mul(DEADLINES_QUIET_MAX);
        let mut save = pin!(save);
        loop {
            tokio::select! {
                biased;
                saved = &mut save => {
                    self.one_ended(&session.town_id);
                    return saved;
                }
                Ok(()) = ended.changed() => {}
                () = sleep(quiet) => return Err(AgentRuntimeError::Unknown {
                    reason: format!("nothing was saved for {} s", quiet.as_secs()),
                }),
            }
        }
    }

    fn of(&self, town: &TownId) -> watch::Receiver<()> {
        let mut towns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Only towns in which work is being saved are kept.
        towns.retain(|id, ended| id == town || ended.receiver_count() > 0);
        towns.entry(town.clone()).or_default().subscribe()
    }

    fn one_ended(&self, town: &TownId) {
        let towns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ended) = towns.get(town) {
            ended.send_replace(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::session_id;
    use tokio::time::Instant;

    const DEADLINE: Duration = Duration::from_secs(60);

    /// A save that is answered after so many seconds.
    async fn save(saves: &Saves, town: &str, seconds: u64) -> Result<u64, AgentRuntimeError> {
        let answer = async {
            sleep(Duration::from_secs(seconds)).await;
            Ok(seconds)
        };
        let session = session_id(town, "a1", 1);
        saves.while_some_end(&session, DEADLINE, answer).await
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_others_is_waited_for_while_they_end() {
        let saves = Saves::default();
        let (first, second, last) = tokio::join!(
            save(&saves, "t1", 100),
            save(&saves, "t1", 200),
            save(&saves, "t1", 300),
        );
        assert_eq!(
            [first.unwrap(), second.unwrap(), last.unwrap()],
            [100, 200, 300]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_runtime_that_hangs_is_given_up_whatever_other_towns_do() {
        let saves = Saves::default();
        let begin = Instant::now();
        let hangs = async {
            let given_up = save(&saves, "t1", 10_000).await;
            (given_up, begin.elapsed())
        };
        let ((given_up, waited), first, other) =
            tokio::join!(hangs, save(&saves, "t1", 50), save(&saves, "t2", 100),);
        let error = given_up.unwrap_err().to_string();
        assert!(error.ends_with("nothing was saved for 120 s"), "{error}");
        assert_eq!(waited.as_secs(), 50 + 120);
        assert!(first.is_ok() && other.is_ok());
    }
}
