//! What a body is checked for, without being kept.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use core::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Any JSON object, of which only what stores look at is kept: every commit has each of its bodies read.
#[derive(Default)]
pub(super) struct Body {
    pub(super) id: Field,
    pub(super) rig_id: Field,
}

/// A field as it was found. Which one counts of two of one name, every reader decides differently.
#[derive(Default)]
pub(super) enum Field {
    #[default]
    Absent,
    Once(Value),
    Twice,
}

impl Field {
    fn add(&mut self, value: Value) {
        *self = match self {
            Field::Absent => Field::Once(value),
            Field::Once(_) | Field::Twice => Field::Twice,
        };
    }

    /// What is wrong with it, if there is one.
    pub(super) fn problem(
        &self,
        name: &str,
        problem: impl Fn(&Value) -> Option<String>,
    ) -> Option<String> {
        match self {
            Field::Absent => None,
            Field::Once(value) => problem(value),
            Field::Twice => Some(format!("`{name}` is there twice")),
        }
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(BodyVisitor)
    }
}

struct BodyVisitor;

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = Body;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body, A::Error> {
        let mut body = Body::default();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "id" => body.id.add(map.next_value()?),
                "rig_id" => body.rig_id.add(map.next_value()?),
                _ => {
                    map.next_value::<Sound>()?;
                }
            }
        }
        Ok(body)
    }
}

/// Any JSON that can be read again, looked at and not kept. What serde passes over unread may be
/// nested too deeply, or hold numbers and escapes that no reader takes.
struct Sound;

impl<'de> Deserialize<'de> for Sound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SoundVisitor)
    }
}

struct SoundVisitor;

impl<'de> Visitor<'de> for SoundVisitor {
    type Value = Sound;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_str<E>(self, _: &str) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_unit<E>(self) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Sound, A::Error> {
        while seq.next_element::<Sound>()?.is_some() {}
        Ok(Sound)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Sound, A::Error> {
        while map.next_entry::<Sound, Sound>()?.is_some() {}
        Ok(Sound)
    }
}
