//! Writes whatever can be serialized straight into a digest, by what rules can tell apart.

mod compound;

use core::fmt;

use serde::ser::{Error as _, Serialize, Serializer};

pub(crate) use self::compound::{Compound, Variant};
use super::digest::{Digest, Mark};
use super::names::{Names, behind};

/// Why a state can't be compared with others.
#[derive(Debug)]
pub(crate) struct Unwritable(String);

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Unwritable {}

impl serde::ser::Error for Unwritable {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// The name of a field or of an entry, which is written once its value turns out to say something.
#[derive(Clone, Copy)]
enum Ahead {
    /// None: an item of a list, or a value of its own, which is written even if it is empty.
    Nothing,
    Field(&'static str),
    /// The text in [`Writer::key`].
    Key,
}

/// What a number is.
#[derive(Clone, Copy)]
enum Meaning {
    Itself,
    /// A session of the agent whose current one this is.
    Session(u64),
    /// Nothing decides by how far it is beyond this.
    AtMost(u64),
}

/// A serializer into a digest. What is null or empty is left out of objects.
pub(crate) struct Writer<'a> {
    names: &'a Names<'a>,
    out: &'a mut Digest,
    ahead: Ahead,
    key: String,
    meaning: Meaning,
    /// The next text is an agent, whose current session is looked up.
    is_agent: bool,
    agent_session: Option<u64>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(names: &'a Names<'a>, out: &'a mut Digest) -> Self {
        Self {
            names,
            out,
            ahead: Ahead::Nothing,
            key: String::new(),
            meaning: Meaning::Itself,
            is_agent: false,
            agent_session: None,
        }
    }

    /// Writes a value with its name, unless it is null or empty.
    pub(crate) fn field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        self.ahead = Ahead::Field(name);
        self.value(value)
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        value.serialize(&mut *self)?;
        self.ahead = Ahead::Nothing;
        Ok(())
    }

    /// A value whose numbers mean something else.
    fn meaning<T: Serialize + ?Sized>(
        &mut self,
        meaning: Meaning,
        value: &T,
    ) -> Result<(), Unwritable> {
        self.meaning = meaning;
        let written = self.value(value);
        self.meaning = Meaning::Itself;
        written
    }

    /// A text that names an agent; gives its current session, or none if the text is not there.
    fn agent<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<Option<u64>, Unwritable> {
        (self.is_agent, self.agent_session) = (true, None);
        let written = self.value(value);
        self.is_agent = false;
        written.map(|()| self.agent_session)
    }

    /// There is something to say: the name that stands ahead is written.
    fn says(&mut self) {
        match core::mem::replace(&mut self.ahead, Ahead::Nothing) {
            Ahead::Nothing => {}
            Ahead::Field(name) => self.out.text(name),
            Ahead::Key => self.names.text(&self.key, self.out),
        }
    }

    /// Nothing is there: left out where a name stands ahead.
    fn null(&mut self) {
        if let Ahead::Nothing = core::mem::replace(&mut self.ahead, Ahead::Nothing) {
            self.out.mark(Mark::Null);
        }
    }
}

/// Numbers of all sizes, by the widest.
macro_rules! as_wider {
    ($($method:ident($type:ty) as $wide:ident,)*) => {
        $(fn $method(self, value: $type) -> Result<(), Unwritable> {
            self.$wide(value.into())
        })*
    };
}

impl<'w, 'a> Serializer for &'w mut Writer<'a> {
    type Ok = ();
    type Error = Unwritable;
    type SerializeSeq = Compound<'w, 'a>;
    type SerializeTuple = Compound<'w, 'a>;
    type SerializeTupleStruct = Compound<'w, 'a>;
    type SerializeTupleVariant = Variant<'w, 'a>;
    type SerializeMap = Compound<'w, 'a>;
    type SerializeStruct = Compound<'w, 'a>;
    type SerializeStructVariant = Variant<'w, 'a>;

    as_wider! {
        serialize_u8(u8) as serialize_u64,
        serialize_u16(u16) as serialize_u64,
        serialize_u32(u32) as serialize_u64,
        serialize_i8(i8) as serialize_i64,
        serialize_i16(i16) as serialize_i64,
        serialize_i32(i32) as serialize_i64,
        serialize_f32(f32) as serialize_f64,
    }

    fn serialize_bool(self, value: bool) -> Result<(), Unwritable> {
        self.says();
        self.out.yes_or_no(value);
        Ok(())
    }

    fn serialize_u64(self, value: u64) -> Result<(), Unwritable> {
        self.says();
        self.out.number(match self.meaning {
            Meaning::Itself => value,
            Meaning::Session(current) => behind(current, value),
            Meaning::AtMost(most) => value.min(most),
        });
        Ok(())
    }

    fn serialize_i64(self, value: i64) -> Result<(), Unwritable> {
        self.serialize_u64(value.cast_unsigned())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Unwritable> {
        self.serialize_u64(value.to_bits())
    }

    fn serialize_char(self, value: char) -> Result<(), Unwritable> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, text: &str) -> Result<(), Unwritable> {
        self.says();
        if self.is_agent {
            self.agent_session = Some(self.names.session_of(text));
        }
        self.names.text(text, self.out);
        Ok(())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), Unwritable> {
        Serialize::serialize(bytes, self)
    }

    fn serialize_none(self) -> Result<(), Unwritable> {
        self.null();
        Ok(())
    }

    fn serialize_unit(self) -> Result<(), Unwritable> {
        self.serialize_none()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unwritable> {
        self.serialize_none()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unwritable> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        value.serialize(self)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Unwritable> {
        self.says();
        self.out.text(variant);
        Ok(())
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        self.says();
        self.out.mark(Mark::Object);
        self.field(variant, value)?;
        self.out.mark(Mark::End);
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Compound<'w, 'a>, Unwritable> {
        Ok(Compound::new(self, Mark::List, ""))
    }

    fn serialize_tuple(self, _: usize) -> Result<Compound<'w, 'a>, Unwritable> {
        Ok(Compound::new(self, Mark::List, ""))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Compound<'w, 'a>, Unwritable> {
        Ok(Compound::new(self, Mark::List, ""))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Variant<'w, 'a>, Unwritable> {
        Ok(Variant::new(self, Mark::List, variant))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Compound<'w, 'a>, Unwritable> {
        Ok(Compound::new(self, Mark::Object, ""))
    }

    fn serialize_struct(
        self,
        name: &'static str,
        _: usize,
    ) -> Result<Compound<'w, 'a>, Unwritable> {
        Ok(Compound::new(self, Mark::Object, name))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Variant<'w, 'a>, Unwritable> {
        Ok(Variant::new(self, Mark::Object, variant))
    }
}

/// The text of a map's key, which stands ahead of its value.
fn key_text<T: Serialize + ?Sized>(key: &T) -> Result<String, Unwritable> {
    // Keys of JSON are texts; so are those of all maps of a town.
    match serde_json::to_value(key).map_err(Unwritable::custom)? {
        serde_json::Value::String(text) => Ok(text),
        other => Err(Unwritable(format!("a key that is no text: {other}"))),
    }
}

#[cfg(test)]
mod tests {
    // Helpers of tests may stop a test.
    #![allow(clippy::unwrap_used)]

    use super::super::Horizon;
    use super::{Digest, Names, Unwritable, Writer};
    use gastown_core::{Policy, Timestamp, Town, TownConfig, TownId};
    use serde::Serialize;
    use std::collections::BTreeMap;

    fn of(value: &impl Serialize) -> Result<u128, Unwritable> {
        let town = TownId::new("x").unwrap();
        let town = Town::new(town, TownConfig::seed(), Policy::default());
        let names = Names::of(&town, Timestamp::from_millis(0), Horizon::default());
        let mut digest = Digest::new();
        value.serialize(&mut Writer::new(&names, &mut digest))?;
        Ok(digest.end())
    }

    #[derive(Serialize, Default)]
    struct Inner {
        one: Option<u8>,
    }

    #[derive(Serialize, Default)]
    struct Outer {
        title: &'static str,
        list: Vec<Option<u8>>,
        map: BTreeMap<&'static str, Option<u8>>,
        inner: Option<Inner>,
        last: u8,
    }

    #[test]
    fn what_says_nothing_is_left_out_and_the_rest_is_not() {
        let plain = of(&Outer::default()).unwrap();
        let titled = Outer {
            title: "other",
            ..Outer::default()
        };
        assert_eq!(of(&titled).unwrap(), plain);
        let others = [
            Outer {
                list: vec![None],
                ..Outer::default()
            },
            Outer {
                map: [("a", None)].into(),
                ..Outer::default()
            },
            Outer {
                inner: Some(Inner::default()),
                ..Outer::default()
            },
            Outer {
                last: 1,
                ..Outer::default()
            },
        ];
        for other in others {
            assert_ne!(of(&other).unwrap(), plain);
        }
    }

    #[test]
    fn a_session_before_its_agent_is_refused() {
        #[derive(Serialize)]
        struct Backwards {
            session: u64,
            agent_id: &'static str,
        }
        let refused = of(&Backwards {
            session: 1,
            agent_id: "a",
        });
        assert_eq!(
            refused.unwrap_err().to_string(),
            "Backwards: session stands before the agent that it is of, expected the agent first"
        );
    }
}
