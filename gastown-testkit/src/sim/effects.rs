//! What becomes of effects: done, failed, unknown, never heard of again, heard of twice.

use gastown_core::effects::{MergePr, PollPr, VerifyMerge};
use gastown_core::events::{
    AgentStopped, BranchCreated, EffectOutcome, MergeAttempted, MergeVerified, Notified,
    NudgeDelivered, PrObserved, TokenKind, TokenRefreshed,
};
use gastown_core::{
    Effect, EffectKey, EffectKind, EventId, EventKind, MergeOutcome, VerifyOutcome,
};

use super::forge::{Asked, looks_green};
use super::{Held, Next, Simulation};

impl Simulation {
    /// An effect's turn has come.
    pub(super) fn performs(&mut self, effect: Effect, life: u64) -> Held {
        if life != self.life() || !self.host.is_up() {
            return Ok(());
        }
        if !self
            .host
            .town
            .as_ref()
            .is_some_and(|town| town.wants(&effect))
        {
            self.tell(|| format!("effect {} is withdrawn", effect.key));
            return self.withdraws(&effect.key);
        }
        self.figures.effects += 1;
        let name = effect.key.to_string();
        let kind = self.acts(&effect, &name);
        self.tell(|| match &kind {
            Some(kind) => format!("effect {name}: {kind:?}"),
            None => format!("effect {name}: nothing is heard of it"),
        });
        // The world has changed, but nobody has written it down.
        if self.host_crashes_amid(&name) {
            return Ok(());
        }
        let results = kind.and_then(|kind| self.result(kind, &effect.key, &name));
        let mut after = self.dice.span(2_000, "an effect takes", &name, 0);
        if self
            .dice
            .happens(self.rates.event_late, "a result is late", &name, 0)
        {
            after += self.dice.span(20 * 60_000, "how late", &name, 0);
        }
        if let EffectKind::PollPr(poll) = &effect.kind
            && self.forge.prs.get(&poll.pr_url).is_some_and(|pr| pr.slow)
        {
            let least = self.pace.slow_look;
            after += least + self.dice.span(least / 2, "how slow", &name, 0);
        }
        let results = results.into_iter().collect();
        self.plan(after, Next::Finishes(effect.key, results, life));
        Ok(())
    }

    fn host_crashes_amid(&mut self, name: &str) -> bool {
        let what = "the host crashes amid an effect";
        // In another life the same effect may go well: else its host would crash for ever.
        let life = self.life();
        let crashes = self.dice.happens(self.rates.crashes, what, name, life);
        if crashes {
            self.tell(|| what.into());
            let n = self.next_of("crash points");
            self.crash(n);
        }
        crashes
    }

    fn result(
        &mut self,
        kind: EventKind,
        key: &EffectKey,
        name: &str,
    ) -> Option<gastown_core::Event> {
        let event = self.event(kind, Some(key))?;
        if self
            .dice
            .happens(self.rates.event_doubled, "a result is doubled", name, 0)
            && let Ok(id) = EventId::new(format!("{}x", event.id))
        {
            let mut again = event.clone();
            again.id = id;
            let apart = self.dice.span(10 * 60_000, "how far apart", name, 0);
            self.plan(apart, Next::Arrives(again));
        }
        (!self
            .dice
            .happens(self.rates.event_lost, "a result is lost", name, 0))
        .then_some(event)
    }

    /// Does it, and says what its adapter reports.
    fn acts(&mut self, effect: &Effect, name: &str) -> Option<EventKind> {
        Some(match &effect.kind {
            EffectKind::StartAgent(start) => return self.starts(start, name),
            EffectKind::StopAgent(stop) => {
                let outcome = self.outcome(name);
                let runs = self
                    .sessions
                    .get(&stop.agent_id)
                    .is_some_and(|session| session.number == stop.session);
                if runs && outcome != EffectOutcome::Failed {
                    self.sessions.remove(&stop.agent_id);
                }
                EventKind::from(AgentStopped {
                    agent_id: stop.agent_id.clone(),
                    session: Some(stop.session),
                    outcome: Some(outcome),
                })
            }
            EffectKind::PollPr(poll) => self.polls(poll, effect.key.attempt),
            EffectKind::MergePr(merge) => self.merges(merge, effect.key.attempt)?,
            EffectKind::VerifyMerge(verify) => self.verifies(verify, name),
            EffectKind::CreateBranch(create) => EventKind::from(BranchCreated {
                convoy_id: create.convoy_id.clone(),
                branch: create.branch.clone(),
                outcome: self.outcome(name),
                rig_id: Some(create.rig_id.clone()),
            }),
            EffectKind::DeliverNudge(nudge) => EventKind::from(NudgeDelivered {
                nudge_id: nudge.nudge_id.clone(),
                outcome: self.outcome(name),
            }),
            EffectKind::NotifyMayor(notice) => EventKind::from(Notified {
                topic: notice.topic.clone(),
                outcome: self.outcome(name),
            }),
            EffectKind::RefreshContainerToken(_) => EventKind::from(TokenRefreshed {
                token: TokenKind::Container,
                outcome: self.outcome(name),
                expires_at: None,
            }),
            EffectKind::RenewLlmToken(_) => EventKind::from(TokenRefreshed {
                token: TokenKind::Llm,
                outcome: self.outcome(name),
                expires_at: Some(self.wall().plus(super::seconds(30 * 86_400))),
            }),
            EffectKind::StopContainer(_) => {
                self.sessions.clear();
                return None;
            }
        })
    }

    fn outcome(&mut self, name: &str) -> EffectOutcome {
        if !self
            .dice
            .happens(self.rates.effect_fails, "an effect fails", name, 0)
        {
            EffectOutcome::Done
        } else if self.dice.below(2, "how it fails", name, 0) == 0 {
            EffectOutcome::Failed
        } else {
            EffectOutcome::Unknown
        }
    }

    fn polls(&mut self, poll: &PollPr, n: u64) -> EventKind {
        let asked = Asked {
            with_feedback: poll.with_feedback,
            n,
            now: self.now,
            wall: self.wall(),
        };
        let seen = self
            .forge
            .observe(&poll.pr_url, &asked, &mut self.dice, &self.rates);
        if seen.as_ref().is_ok_and(looks_green) {
            self.may_push_again(&poll.pr_url, n);
        }
        let (observation, error) = match seen {
            Ok(observation) => (Some(observation), None),
            Err(error) => (None, Some(error)),
        };
        EventKind::from(PrObserved {
            bead_id: poll.bead_id.clone(),
            pr_url: Some(poll.pr_url.clone()),
            observation,
            error,
        })
    }

    fn merges(&mut self, merge: &MergePr, n: u64) -> Option<EventKind> {
        let asked = Asked {
            with_feedback: true,
            n: n ^ 1 << 40,
            now: self.now,
            wall: self.wall(),
        };
        let look = self
            .forge
            .observe(&merge.pr_url, &asked, &mut self.dice, &self.rates);
        let outcome = match look {
            Ok(look) => self.forge.merge(
                &merge.pr_url,
                &merge.head_sha,
                look,
                n,
                &mut self.dice,
                &self.rates,
            ),
            Err(error) => MergeOutcome::Error { error },
        };
        if outcome == MergeOutcome::Queued {
            let after = self
                .dice
                .span(10 * 60_000, "the queue takes", &merge.pr_url, n);
            self.plan(after, Next::LeavesQueue(merge.pr_url.clone()));
        }
        Some(EventKind::from(MergeAttempted {
            bead_id: merge.bead_id.clone(),
            head_sha: merge.head_sha.clone(),
            outcome,
        }))
    }

    fn verifies(&mut self, verify: &VerifyMerge, name: &str) -> EventKind {
        let repository = verify.rig_id.as_ref().map(|rig| format!("acme/{rig}"));
        let unknown = self.forge.trouble(self.now).is_some()
            || self
                .dice
                .happens(self.rates.poll_fails, "a verification fails", name, 0);
        let outcome = match repository {
            Some(repository) if !unknown => {
                self.forge
                    .verify(&repository, &verify.branch, &verify.target_branch)
            }
            _ => VerifyOutcome::Unknown,
        };
        EventKind::from(MergeVerified {
            bead_id: verify.bead_id.clone(),
            outcome,
        })
    }
}
