//! Notices under way: sent, and not known to have arrived (spec 3.0).

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::Value;

use super::Town;
use crate::apply::ESCALATION_TOPIC;
use crate::ids::BeadId;
use crate::time::Timestamp;

/// How many notices a town remembers until they have arrived; the oldest are forgotten first.
const NOTICES_UNDER_WAY_MAX: usize = 256;

/// How many bytes the topics and texts of those notices have together as JSON; beyond that too the oldest are forgotten first, but never the newest. They stand in the row of the town,
/// and a row that is too long for a store would keep the town from ever committing again.
const NOTICES_UNDER_WAY_BYTES_MAX: usize = 1024 * 1024;

/// JSON writes a control character in six bytes.
const JSON_BYTES_PER_BYTE_MAX: usize = 6;

/// A notice that was sent and is not known to have arrived.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// The text.
    pub message: String,
    /// The how-manieth notice of the town; part of the effect's key.
    pub number: u64,
    /// When it is sent again, once its delivery failed.
    #[serde(default)]
    pub next_at: Option<Timestamp>,
    /// How often its delivery failed, under whatever number; the pause doubles with it.
    #[serde(default, skip_serializing_if = "crate::wire::is_default")]
    pub failures: u32,
}

impl Town {
    /// A notice goes out: it gets a number of its own, and its text is kept until it has arrived.
    pub(crate) fn note_notice(&mut self, topic: &str, message: &str) -> u64 {
        let state = self.state_mut();
        state.notices = state.notices.saturating_add(1);
        let number = state.notices;
        let under_way = &mut state.notices_under_way;
        let notice = Notice {
            message: message.into(),
            number,
            next_at: None,
            // What is said anew goes the way that failed before.
            failures: under_way.get(topic).map_or(0, |before| before.failures),
        };
        under_way.insert(topic.into(), notice);
        forget_old_notices(under_way);
        number
    }

    /// An escalation that has ended, or is gone, is not said once more.
    pub(super) fn forget_notice_of(&mut self, bead: &BeadId) {
        let topic = format!("{ESCALATION_TOPIC}{bead}");
        self.state_mut().notices_under_way.remove(&topic);
    }
}

/// Forgets the oldest notices until the rest keeps both limits; the newest always stays.
fn forget_old_notices(under_way: &mut BTreeMap<String, Notice>) {
    let plain = |topic: &str, notice: &Notice| topic.len().saturating_add(notice.message.len());
    let longest = sum(under_way.iter().map(|(topic, notice)| plain(topic, notice)))
        .saturating_mul(JSON_BYTES_PER_BYTE_MAX);
    if under_way.len() <= NOTICES_UNDER_WAY_MAX && longest <= NOTICES_UNDER_WAY_BYTES_MAX {
        return;
    }
    let length = |topic: &str, notice: &Notice| {
        let bytes = |text: &str| Value::from(text).to_string().len();
        bytes(topic).saturating_add(bytes(&notice.message))
    };
    let mut oldest_first: Vec<(u64, usize, String)> = under_way
        .iter()
        .map(|(topic, notice)| (notice.number, length(topic, notice), topic.clone()))
        .collect();
    oldest_first.sort_unstable();
    let mut bytes = sum(oldest_first.iter().map(|(_, length, _)| *length));
    for (_, length, topic) in oldest_first {
        let fits = under_way.len() <= NOTICES_UNDER_WAY_MAX && bytes <= NOTICES_UNDER_WAY_BYTES_MAX;
        if fits || under_way.len() <= 1 {
            return;
        }
        under_way.remove(&topic);
        bytes = bytes.saturating_sub(length);
    }
}

fn sum(lengths: impl Iterator<Item = usize>) -> usize {
    lengths.fold(0, usize::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TownConfig;
    use crate::policy::Policy;

    /// Every commit would be refused for ever if the town's row outgrew what a store takes.
    #[test]
    fn notices_under_way_keep_the_row_of_the_town_small() {
        let id = "t1".parse().unwrap();
        let mut town = Town::new(id, TownConfig::seed(), Policy::default());
        // A control character: JSON writes it in six.
        let message = "\u{1}".repeat(65_536);
        for number in 0..NOTICES_UNDER_WAY_MAX {
            town.note_notice(&format!("topic-{number:03}"), &message);
        }
        let kept: Vec<&str> = town
            .state()
            .notices_under_way
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(kept, ["topic-254", "topic-255"], "the newest that fit");
        let rows = town.take_changes().put;
        let longest = rows.iter().map(|row| row.body.len()).max().unwrap();
        assert!(longest < 2 * NOTICES_UNDER_WAY_BYTES_MAX, "{longest}");
        town.note_notice("long", &message.repeat(4));
        let kept = &town.state().notices_under_way;
        assert!(
            kept.len() == 1 && kept.contains_key("long"),
            "the newest stays"
        );
    }

    #[test]
    fn notices_are_as_long_as_they_are_written() {
        let id = "t1".parse().unwrap();
        let mut town = Town::new(id, TownConfig::seed(), Policy::default());
        for number in 0..15 {
            town.note_notice(&format!("topic-{number:02}"), &"x".repeat(65_536));
        }
        assert_eq!(town.state().notices_under_way.len(), 15);
        town.note_notice("one too many", &"x".repeat(65_536));
        assert_eq!(town.state().notices_under_way.len(), 15);
    }
}
