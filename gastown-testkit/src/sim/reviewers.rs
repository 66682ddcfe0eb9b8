//! People of the forge: they push, comment, approve, object, draft, merge and close.

use gastown_core::events::Webhook;
use gastown_core::forges::{Decision, DequeueCause, Dequeued, MergeQueue, PrState};

use super::{Next, Simulation};

const HOUR: u64 = 3_600_000;

impl Simulation {
    /// A pull request is there; sooner or later somebody turns to it.
    pub(super) fn expect_reviewers(&mut self, url: &str) {
        let n = self.next_of("reviews to come");
        let after = self.dice.span(HOUR, "a reviewer comes", url, n);
        if self.dice.below(6, "must be approved", url, 0) == 0
            && let Some(pr) = self.forge.prs.get_mut(url)
            && pr.decision.is_none()
        {
            pr.decision = Some(Decision::ReviewRequired);
        }
        self.plan(after.max(60_000), Next::ReviewersAct(url.into()));
    }

    pub(super) fn reviewers_act(&mut self, url: &str) {
        if self.dice.is_calm() {
            return;
        }
        let n = self.next_of("turns of reviewers");
        let rates = self.rates;
        let acts = self
            .dice
            .happens(rates.reviewers_act, "a reviewer acts", url, n);
        let ends = self
            .dice
            .happens(rates.reviewers_end, "a reviewer ends it", url, n);
        let which = self.dice.below(8, "how", url, n);
        let Some(pr) = self.forge.prs.get_mut(url) else {
            return;
        };
        if pr.state != PrState::Open {
            return;
        }
        if acts {
            match which {
                0 | 4 => pr.push(self.now, &mut self.dice, &rates),
                1 => pr.threads += 1,
                2 => pr.draft = !pr.draft,
                3 => {
                    pr.decision = Some(Decision::ChangesRequested);
                    pr.decision_head = None;
                }
                _ => {
                    pr.decision = Some(Decision::Approved);
                    pr.decision_head = Some(pr.head.clone());
                    pr.threads = 0;
                }
            }
        }
        if ends && which == 0 {
            pr.state = PrState::Closed;
        } else if ends {
            self.forge.merged(url, &mut self.dice, &rates);
        }
        if acts || ends {
            self.hook(url);
        }
        let after = self.dice.span(2 * HOUR, "the next reviewer comes", url, n);
        self.plan(after.max(60_000), Next::ReviewersAct(url.into()));
    }

    /// A pull request was seen to be ready; now and then somebody adds something all the same, while
    /// the delay of its merge runs.
    pub(super) fn may_push_again(&mut self, url: &str, n: u64) {
        let rate = self.rates.reviewers_act / 4.0;
        if self.dice.happens(rate, "a push before the merge", url, n) {
            let after = self.dice.span(6 * 60_000, "how long before", url, n);
            self.plan(after, Next::PushesAgain(url.into()));
        }
    }

    pub(super) fn pushes_again(&mut self, url: &str) {
        if self.dice.is_calm() {
            return;
        }
        let rates = self.rates;
        if let Some(pr) = self.forge.prs.get_mut(url)
            && pr.state == PrState::Open
        {
            // No webhook tells of it: the town learns of the new head by its own look.
            pr.push(self.now, &mut self.dice, &rates);
        }
    }

    /// The merge queue is through with a pull request.
    pub(super) fn leaves_queue(&mut self, url: &str) {
        let n = self.next_of("queue");
        let wall = self.wall();
        let Some(pr) = self.forge.prs.get_mut(url) else {
            return;
        };
        if pr.queue != MergeQueue::Queued || pr.state != PrState::Open {
            return;
        }
        pr.queue = MergeQueue::None;
        if self.dice.below(3, "the queue drops it", url, n) != 0 {
            self.forge.merged(url, &mut self.dice, &self.rates.clone());
        } else if self.dice.below(2, "somebody takes it out", url, n) == 0 {
            pr.dequeued = Some(Dequeued {
                at: wall,
                cause: DequeueCause::Person,
                reason: Some("manual".into()),
            });
        }
        self.hook(url);
    }

    /// The forge says that something happened.
    fn hook(&mut self, url: &str) {
        let Some(pr) = self.forge.prs.get(url) else {
            return;
        };
        let number = url
            .rsplit('/')
            .next()
            .and_then(|number| number.parse().ok());
        let webhook = Webhook {
            repository: pr.repository.clone(),
            delivery: None,
            pr_number: number,
            head_sha: None,
            kind: None,
        };
        self.send(url, webhook, 2_000);
    }
}
