//! What may happen in a world, and where it begins.

use arbitrary::Unstructured;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

/// One thing that happens. The numbers choose among what there is at that moment; a field says what
/// it chooses by its name.
#[allow(missing_docs)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Time passes, in seconds; negative: the clock jumps back.
    Pass(i32),
    /// The host sleeps that many seconds, and says so.
    Sleep(u32),
    /// A person slings an issue; it may depend on an earlier one.
    Sling { rig: u8, depends_on: u8 },
    /// A person slings a convoy.
    SlingConvoy { rig: u8, tasks: u8 },
    /// An effect is answered; the answer may bear an earlier time.
    Answer { which: u8, how: u8, late: u16 },
    /// An event that was delivered before comes again, under its own id or a new one.
    Again { which: u8, new_id: bool },
    /// An agent speaks.
    Agent {
        which: u8,
        what: u8,
        old_session: bool,
    },
    /// An agent uses a tool, perhaps for what is not its own.
    Tool { which: u8, what: u8, other: u8 },
    /// A person commands something about a bead.
    Person { which: u8, what: u8, other: u8 },
    /// Something happens to the container or the host.
    Host { what: u8 },
    /// Something that no honest sender sends.
    Strange { which: u8, what: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => prop_oneof![0i32..120, 0i32..4_000, Just(100_000), -600i32..0].prop_map(Step::Pass),
        1 => (1u32..200_000).prop_map(Step::Sleep),
        6 => (any::<u8>(), any::<u8>()).prop_map(|(rig, depends_on)| Step::Sling { rig, depends_on }),
        2 => (any::<u8>(), 1u8..4).prop_map(|(rig, tasks)| Step::SlingConvoy { rig, tasks }),
        20 => (any::<u8>(), any::<u8>(), prop_oneof![3 => Just(0u16), 1 => any::<u16>()])
            .prop_map(|(which, how, late)| Step::Answer { which, how, late }),
        4 => (any::<u8>(), any::<bool>()).prop_map(|(which, new_id)| Step::Again { which, new_id }),
        14 => (any::<u8>(), any::<u8>(), prop::bool::weighted(0.1))
            .prop_map(|(which, what, old_session)| Step::Agent { which, what, old_session }),
        4 => (any::<u8>(), any::<u8>(), any::<u8>())
            .prop_map(|(which, what, other)| Step::Tool { which, what, other }),
        6 => (any::<u8>(), any::<u8>(), any::<u8>())
            .prop_map(|(which, what, other)| Step::Person { which, what, other }),
        2 => any::<u8>().prop_map(|what| Step::Host { what }),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(which, what)| Step::Strange { which, what }),
    ]
}

/// The same steps, from the bytes of a fuzzer.
impl<'a> arbitrary::Arbitrary<'a> for Step {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(match input.int_in_range(0u8..=20)? {
            0..=2 => Step::Pass(match input.int_in_range(0u8..=7)? {
                0..=3 => input.int_in_range(0..=120)?,
                4 | 5 => input.int_in_range(0..=4_000)?,
                6 => 100_000,
                _ => input.int_in_range(-600..=-1)?,
            }),
            3 => Step::Sleep(input.int_in_range(1..=200_000)?),
            4 => Step::Sling {
                rig: input.arbitrary()?,
                depends_on: input.arbitrary()?,
            },
            5 => Step::SlingConvoy {
                rig: input.arbitrary()?,
                tasks: input.int_in_range(1..=3)?,
            },
            6..=9 => Step::Answer {
                which: input.arbitrary()?,
                how: input.arbitrary()?,
                late: if input.ratio(1, 4)? {
                    input.arbitrary()?
                } else {
                    0
                },
            },
            10 => Step::Again {
                which: input.arbitrary()?,
                new_id: input.arbitrary()?,
            },
            11..=14 => Step::Agent {
                which: input.arbitrary()?,
                what: input.arbitrary()?,
                old_session: input.ratio(1, 10)?,
            },
            15 => Step::Tool {
                which: input.arbitrary()?,
                what: input.arbitrary()?,
                other: input.arbitrary()?,
            },
            16 | 17 => Step::Person {
                which: input.arbitrary()?,
                what: input.arbitrary()?,
                other: input.arbitrary()?,
            },
            18 | 19 => Step::Host {
                what: input.arbitrary()?,
            },
            _ => Step::Strange {
                which: input.arbitrary()?,
                what: input.arbitrary()?,
            },
        })
    }
}

/// Sequences of that many steps.
pub fn steps(count: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<Step>> {
    vec(step(), count)
}

/// The settings that a world begins with, as bits; none is a town of direct merges as shipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup(pub u16);

/// Worlds that begin with any settings.
pub fn setups() -> impl Strategy<Value = Setup> {
    any::<u16>().prop_map(Setup)
}

impl Setup {
    fn has(self, bit: u32) -> bool {
        self.0.checked_shr(bit).unwrap_or(0) & 1 == 1
    }

    /// Whether work goes through pull requests.
    pub(super) fn pull_requests(self) -> bool {
        self.has(0)
    }

    pub(super) fn config(self) -> Value {
        let delay = match (self.has(1), self.has(2)) {
            (true, _) => json!(1),
            (false, true) => json!(0),
            (false, false) => json!("never"),
        };
        let mut config = json!({
            "merge_strategy": if self.pull_requests() { "pr" } else { "direct" },
            "refinery": {"auto_merge_delay_minutes": delay, "auto_resolve_pr_feedback": self.has(3),
                         "review_every_head": self.has(4), "code_review": !self.has(5),
                         "require_fresh_approval": self.has(6)},
            "convoy_merge_mode": if self.has(7) { "review-and-merge" } else { "review-then-land" },
            "staged_convoys_default": false,
        });
        if let (true, Some(object)) = (self.has(8), config.as_object_mut()) {
            object.insert("max_polecats_per_rig".into(), 1.into());
        }
        config
    }

    pub(super) fn policy(self) -> Value {
        let mut policy = json!({"failed_blocker": if self.has(9) { "release" } else { "block" }});
        let Some(object) = policy.as_object_mut() else {
            return policy;
        };
        // Small budgets, so that short sequences come to their ends.
        if self.has(10) {
            object.insert("lineage_dispatches".into(), 4.into());
            object.insert("repair_rounds".into(), 1.into());
            object.insert("landing_attempts".into(), 2.into());
            object.insert("merge_refusal_limit".into(), 2.into());
        }
        if self.has(11) {
            object.insert("poll_give_up_after".into(), "PT10M".into());
        }
        policy
    }
}
