//! Webhooks are hints: lost, doubled and in any order, they end in the decisions of polling alone.

use std::time::Duration;

use gastown_core::commands::{AddRig, Sling};
use gastown_core::events::{
    AgentDone, AgentStarted, AgentStopped, EffectOutcome, MergeAttempted, Notified, PrObserved,
};
use gastown_core::forges::{MergeRequest, ObserveRequest, RepositoryRef};
use gastown_core::{
    AutoMergeDelay, Caller, Command, CommandKind, Effect, EffectKind, Event, EventKind, Forge,
    Policy, RefineryConfig, Timestamp, Town, TownConfig, next_wakeup, settle,
};
use gastown_github::webhook::interpret;
use gastown_testkit::cases::cases;
use gastown_testkit::fake_github::{Conclusion, PullState, Rules, Verdict, WEB_HOST, Webhook};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use crate::double::{Double, double};

/// A town that watches the pull request of a fake, in the fake's time.
struct Watched {
    double: Double,
    town: Town,
    open: Vec<Effect>,
    events: u64,
}

impl Watched {
    /// A town whose polecat has just opened pull request 1.
    fn begin(merge_queue: bool) -> Self {
        let double = double();
        let rules = Rules {
            approvals: 1,
            merge_queue,
            ..Rules::default()
        };
        double.edit(|it| it.rules.insert("main".to_owned(), rules));
        let hour = Duration::from_secs(3600);
        let config = TownConfig {
            refinery: RefineryConfig {
                code_review: Some(false),
                auto_merge: Some(true),
                auto_merge_delay_minutes: Some(AutoMergeDelay::After(hour)),
                ..RefineryConfig::default()
            },
            ..TownConfig::seed()
        };
        let policy = Policy {
            pr_poll_interval: Duration::from_secs(300),
            ..Policy::default()
        };
        let mut watched = Self {
            double,
            town: Town::new("t1".parse().unwrap(), config, policy),
            open: Vec::new(),
            events: 0,
        };
        watched.execute(AddRig {
            rig_id: "r1".parse().unwrap(),
            name: "r".to_owned(),
            git_url: format!("https://{WEB_HOST}/o/r.git"),
            default_branch: "main".to_owned(),
            config: Default::default(),
        });
        watched.execute(Sling {
            rig_id: "r1".parse().unwrap(),
            title: "Work".to_owned(),
            body: None,
            priority: None,
            labels: Vec::new(),
            metadata: Default::default(),
            depends_on: Vec::new(),
        });
        watched.settle();
        let start = watched.open.iter().find_map(|it| match &it.kind {
            EffectKind::StartAgent(start) => Some(start.clone()),
            _ => None,
        });
        let start = start.unwrap();
        watched.observe(AgentStarted {
            agent_id: start.agent_id.clone(),
            session: Some(start.session),
            container_instance: None,
        });
        watched.observe(AgentDone {
            agent_id: start.agent_id,
            branch: "work".to_owned(),
            session: Some(start.session),
            bead_id: Some(start.bead_id),
            pr_url: Some(format!("https://{WEB_HOST}/o/r/pull/1")),
            head_sha: None,
            merge_commit: None,
            summary: None,
        });
        watched
    }

    fn now(&self) -> Timestamp {
        Timestamp::from(self.double.fake.clock().now())
    }

    fn execute(&mut self, kind: impl Into<CommandKind>) {
        let command = Command::new(Caller::user("ann"), kind);
        let now = self.now();
        self.town.execute(command, now).unwrap();
    }

    fn event(&mut self, kind: impl Into<EventKind>) -> Event {
        self.events += 1;
        Event {
            id: format!("e{}", self.events).parse().unwrap(),
            at: self.now(),
            key: None,
            kind: kind.into(),
        }
    }

    fn observe(&mut self, kind: impl Into<EventKind>) {
        let (event, now) = (self.event(kind), self.now());
        self.town.observe(&event, now);
    }

    fn settle(&mut self) {
        let now = self.now();
        self.open.extend(settle(&mut self.town, now).effects);
    }

    fn rig(&self) -> RepositoryRef {
        RepositoryRef {
            town_id: self.town.id().clone(),
            rig_id: Some("r1".parse().unwrap()),
            git_url: format!("https://{WEB_HOST}/o/r.git"),
            default_branch: "main".to_owned(),
        }
    }

    /// What comes of an effect, as far as this town needs an answer.
    async fn perform(&self, effect: &Effect) -> Option<EventKind> {
        let github = &self.double.github;
        Some(match &effect.kind {
            EffectKind::PollPr(poll) => {
                let request = ObserveRequest {
                    repository: Some(self.rig()),
                    town_id: self.town.id().clone(),
                    pr_url: poll.pr_url.clone(),
                    with_feedback: poll.with_feedback,
                };
                let seen = Forge::observe(github, request).await;
                let observed = PrObserved {
                    bead_id: poll.bead_id.clone(),
                    pr_url: Some(poll.pr_url.clone()),
                    observation: seen.as_ref().ok().cloned(),
                    error: seen.err(),
                };
                observed.into()
            }
            EffectKind::MergePr(merge) => {
                let request = MergeRequest {
                    repository: self.rig(),
                    pr_url: merge.pr_url.clone(),
                    head_sha: merge.head_sha.clone(),
                    method: merge.certificate.method,
                    certificate: (*merge.certificate).clone(),
                };
                let attempted = MergeAttempted {
                    bead_id: merge.bead_id.clone(),
                    head_sha: merge.head_sha.clone(),
                    outcome: Forge::merge(github, request).await,
                };
                attempted.into()
            }
            EffectKind::StopAgent(stop) => {
                let stopped = AgentStopped {
                    agent_id: stop.agent_id.clone(),
                    session: Some(stop.session),
                    outcome: Some(EffectOutcome::Done),
                };
                stopped.into()
            }
            EffectKind::NotifyMayor(notice) => {
                let notified = Notified {
                    topic: notice.topic.clone(),
                    outcome: EffectOutcome::Done,
                };
                notified.into()
            }
            _ => return None,
        })
    }

    /// Does all that is due now.
    async fn rest(&mut self) {
        self.settle();
        while !self.open.is_empty() {
            for effect in std::mem::take(&mut self.open) {
                if !self.town.wants(&effect) {
                    continue;
                }
                if let Some(kind) = self.perform(&effect).await {
                    let (mut event, now) = (self.event(kind), self.now());
                    event.key = Some(effect.key.clone());
                    self.town.observe(&event, now);
                }
            }
            self.settle();
        }
    }

    /// Lets time pass.
    async fn pass(&mut self, span: Duration) {
        let end = self.now().plus(span);
        self.rest().await;
        while self.now() < end {
            let next = next_wakeup(&self.town, self.now()).map_or(end, |it| it.min(end));
            let step = next.since(self.now()).max(Duration::from_secs(1));
            self.double.fake.clock().advance(step);
            self.rest().await;
        }
    }

    /// A webhook arrives.
    fn receive(&mut self, webhook: &Webhook) {
        let mut headers = HeaderMap::new();
        for (name, value) in webhook.headers("secret") {
            let name = HeaderName::from_static(name);
            headers.insert(name, HeaderValue::from_str(&value).unwrap());
        }
        for hint in interpret(&headers, webhook.body().as_bytes()).unwrap() {
            if let Some(event) = hint.event() {
                self.observe(event);
            }
        }
    }

    fn webhooks(&self) -> Vec<Webhook> {
        self.double.fake.edit(|world| world.take_webhooks())
    }

    /// What was decided.
    fn decided(&self) -> String {
        let mr = self.town.beads().find(|it| it.review().is_some()).unwrap();
        let review = mr.review().unwrap();
        let pull = self.double.edit(|it| it.pull(1).unwrap().clone());
        format!(
            "{} {:?} {:?} head {:?}, merged: {}",
            mr.status.as_str(),
            review.outcome,
            review.merge_commit,
            review.head_sha,
            pull.state == PullState::Merged
        )
    }
}

/// What happens at the forge.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Push,
    Pass,
    Fail,
    Ask,
    Answer,
    Approve,
    Refuse,
    Draft,
    Ready,
    MoveBase,
    Conflict,
    Enqueue,
    TakeOut,
    ThrowOut,
}

const DEEDS: [Deed; 14] = [
    Deed::Push,
    Deed::Pass,
    Deed::Fail,
    Deed::Ask,
    Deed::Answer,
    Deed::Approve,
    Deed::Refuse,
    Deed::Draft,
    Deed::Ready,
    Deed::MoveBase,
    Deed::Conflict,
    Deed::Enqueue,
    Deed::TakeOut,
    Deed::ThrowOut,
];

fn perform(double: &Double, number: usize, deed: Deed) {
    let head = double.head(1);
    let text = format!("{number}\n");
    double.edit(|it| match deed {
        Deed::Push => drop(it.push("work", &[("more.txt", text.as_str())]).unwrap()),
        Deed::Pass => drop(it.report_check(&head, "ci", 15368, Some(Conclusion::Success))),
        Deed::Fail => drop(it.report_check(&head, "ci", 15368, Some(Conclusion::Failure))),
        Deed::Ask => drop(it.open_thread(1, "ann", "new.txt", "Why?").unwrap()),
        Deed::Answer => {
            let open = it.pull(1).unwrap().threads.iter().find(|it| !it.resolved);
            if let Some(id) = open.map(|it| it.id) {
                it.resolve_thread(id, true).unwrap();
            }
        }
        Deed::Approve => drop(it.review(1, "ann", Verdict::Approve, "").unwrap()),
        Deed::Refuse => drop(it.review(1, "ann", Verdict::RequestChanges, "no").unwrap()),
        Deed::Draft => it.set_draft(1, true).unwrap(),
        Deed::Ready => it.set_draft(1, false).unwrap(),
        Deed::MoveBase => drop(it.push("main", &[("base.txt", text.as_str())]).unwrap()),
        Deed::Enqueue => drop(it.enqueue(1, None, "ann").unwrap()),
        Deed::TakeOut | Deed::ThrowOut => {
            let by_hand = matches!(deed, Deed::TakeOut);
            if it.pull(1).unwrap().queued_at.is_some() {
                let reason = if by_hand { "MANUAL" } else { "CI_FAILURE" };
                it.dequeue(1, reason).unwrap();
            }
        }
        Deed::Conflict => drop(it.push("main", &[("new.txt", text.as_str())]).unwrap()),
    });
}

/// What becomes of a webhook: how often it arrives, and how many minutes late.
type Fate = (u8, u8);

async fn decided(deeds: &[Deed], fates: Option<&[Fate]>, queue: bool) -> String {
    let mut watched = Watched::begin(queue);
    let minute = Duration::from_secs(60);
    let mut under_way: Vec<(usize, Webhook)> = Vec::new();
    let mut sent = 0;
    // Everything happens before anything can be merged.
    for turn in 0..deeds.len() + 8 {
        if let Some(deed) = deeds.get(turn) {
            perform(&watched.double, turn, *deed);
        }
        for webhook in watched.webhooks() {
            let Some(fates) = fates else { continue };
            let (times, late) = fates[sent % fates.len()];
            sent += 1;
            for again in 0..times {
                let arrives = turn + usize::from(late) + usize::from(again) * 2;
                under_way.push((arrives, webhook.clone()));
            }
        }
        // The newest first: the order of sending means nothing.
        under_way.reverse();
        for (_, webhook) in under_way.extract_if(.., |it| it.0 <= turn) {
            watched.receive(&webhook);
        }
        watched.pass(minute).await;
    }
    watched.pass(minute * 120).await;
    watched.double.edit(|it| drop(it.run_queue().unwrap()));
    watched.pass(minute * 120).await;
    watched.decided()
}

proptest! {
    #![proptest_config(cases(6))]

    #[test]
    fn any_order_loss_and_duplication_of_webhooks_ends_in_the_decisions_of_polling(
        deeds in prop::collection::vec(prop::sample::select(DEEDS.as_slice()), 1..12),
        fates in prop::collection::vec((0_u8..3, 0_u8..5), 1..8),
        queue in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let by_polling = runtime.block_on(decided(&deeds, None, queue));
        let with_webhooks = runtime.block_on(decided(&deeds, Some(&fates), queue));
        prop_assert_eq!(by_polling, with_webhooks);
    }
}

#[tokio::test]
async fn an_approved_pull_request_is_merged_either_way_and_a_refused_one_is_not() {
    let fates: &[Fate] = &[(1, 0)];
    for fates in [None, Some(fates)] {
        let merged = decided(&[Deed::Pass, Deed::Approve], fates, false).await;
        assert!(merged.ends_with("merged: true"), "{merged}");
        let refused = decided(&[Deed::Approve, Deed::Refuse], fates, false).await;
        assert!(refused.ends_with("merged: false"), "{refused}");
    }
}

/// Between two looks, too: only a webhook could have told at once, and polling ends the same.
#[tokio::test]
async fn trap_20_what_a_person_took_out_of_the_queue_waits_for_a_person_either_way() {
    use Deed::{Approve, Enqueue, Push, TakeOut, ThrowOut};
    let fates: &[Fate] = &[(1, 0)];
    for fates in [None, Some(fates)] {
        for (deeds, is_merged) in [
            (&[Approve, Enqueue][..], true),
            (&[Approve, Enqueue, ThrowOut], true),
            (&[Approve, Enqueue, TakeOut], false),
            (&[Approve, Enqueue, TakeOut, Enqueue, ThrowOut], false),
            (&[Approve, Enqueue, TakeOut, Enqueue], true),
            (&[Approve, Enqueue, TakeOut, Push, Approve], true),
        ] {
            let found = decided(deeds, fates, true).await;
            let expected = format!("merged: {is_merged}");
            assert!(found.ends_with(&expected), "{deeds:?} {fates:?}: {found}");
        }
    }
}

#[tokio::test]
async fn a_webhook_makes_a_pull_request_due_at_once() {
    let mut watched = Watched::begin(false);
    watched.rest().await;
    watched.webhooks();
    watched.double.fake.take_received();
    watched.double.fake.clock().advance(Duration::from_secs(5));
    watched.rest().await;
    assert!(watched.double.fake.take_received().is_empty());
    perform(&watched.double, 0, Deed::Approve);
    for webhook in watched.webhooks() {
        watched.receive(&webhook);
    }
    watched.rest().await;
    assert!(!watched.double.fake.take_received().is_empty());
}
