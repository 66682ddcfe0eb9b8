//! Lists, objects and their fields.

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant,
};

use super::{Ahead, Meaning, Unwritable, Writer, key_text};
use crate::search::canonical::digest::Mark;

/// A list or an object, whose begin is written with the first that it holds.
pub(crate) struct Compound<'w, 'a> {
    writer: &'w mut Writer<'a>,
    begin: Mark,
    is_begun: bool,
    /// The name of the struct; empty for what has none.
    of: &'static str,
    /// The key of the entry that comes next.
    key: String,
    /// The current session of the agent that the object is about.
    agent: Option<u64>,
    /// A session was left out, because no agent stood before it.
    session_left_out: bool,
}

/// Whether a field holds a text for people, or a counter that only grows: no rule decides by them.
fn says_nothing(field: &str) -> bool {
    matches!(
        field,
        "body"
            | "message"
            | "title"
            | "text"
            | "context"
            | "notes"
            | "name"
            | "identity"
            | "sequence"
            | "notices"
            | "notices_under_way"
            | "stops"
            | "refreshes"
            | "llm_renewals"
            | "idle_stops"
            | "verifications"
            | "number"
            | "session"
            | "created_by"
            | "resolver"
            | "config_hash"
            | "last_error"
            | "last_refusal"
            | "options"
    )
}

impl<'w, 'a> Compound<'w, 'a> {
    pub(super) fn new(writer: &'w mut Writer<'a>, begin: Mark, of: &'static str) -> Self {
        Self {
            writer,
            begin,
            is_begun: false,
            of,
            key: String::new(),
            agent: None,
            session_left_out: false,
        }
    }

    fn begins(&mut self) {
        if !self.is_begun {
            self.is_begun = true;
            self.writer.says();
            self.writer.out.mark(self.begin);
        }
    }

    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        self.begins();
        self.writer.value(value)
    }

    /// A field, or an entry of a map.
    fn entry<T: Serialize + ?Sized>(
        &mut self,
        name: &str,
        ahead: Ahead,
        value: &T,
    ) -> Result<(), Unwritable> {
        self.begins();
        self.writer.ahead = ahead;
        match (self.of, name) {
            // They only grow and are part of keys; those of a landing are a budget.
            ("Poll" | "AutoMerge" | "Nudge", "attempts") => self.writer.ahead = Ahead::Nothing,
            ("Agent", "id") | (_, "agent_id") => {
                if self.session_left_out {
                    return Err(self.out_of_order("session"));
                }
                self.agent = self.writer.agent(value)?;
            }
            ("Agent", "done_session" | "stop_asked") => match self.agent {
                Some(current) => self.writer.meaning(Meaning::Session(current), value)?,
                None => return Err(self.out_of_order(name)),
            },
            // Only whether it is at the cap decides anything.
            ("Agent", "dispatch_attempts") => {
                let most = self.writer.names.attempts();
                self.writer.meaning(Meaning::AtMost(most), value)?;
            }
            (of, "session") if of != "Agent" => match self.agent {
                Some(current) => self.writer.meaning(Meaning::Session(current), value)?,
                None => {
                    self.session_left_out = true;
                    self.writer.ahead = Ahead::Nothing;
                }
            },
            _ if says_nothing(name) => self.writer.ahead = Ahead::Nothing,
            _ => self.writer.value(value)?,
        }
        Ok(())
    }

    fn out_of_order(&self, session: &str) -> Unwritable {
        Unwritable(format!(
            "{}: {session} stands before the agent that it is of, expected the agent first",
            self.of
        ))
    }

    fn ends(self) {
        if self.is_begun {
            self.writer.out.mark(Mark::End);
        } else if let Ahead::Nothing = self.writer.ahead {
            self.writer.out.mark(self.begin);
            self.writer.out.mark(Mark::End);
        }
    }
}

/// Lists of all sorts.
macro_rules! lists {
    ($($sort:ident::$add:ident,)*) => {
        $(impl $sort for Compound<'_, '_> {
            type Ok = ();
            type Error = Unwritable;
            fn $add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
                self.item(value)
            }
            fn end(self) -> Result<(), Unwritable> {
                self.ends();
                Ok(())
            }
        })*
    };
}

lists! {
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
}

impl SerializeMap for Compound<'_, '_> {
    type Ok = ();
    type Error = Unwritable;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unwritable> {
        self.begins();
        self.key = key_text(key)?;
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        let key = core::mem::take(&mut self.key);
        self.writer.key.clone_from(&key);
        self.entry(&key, Ahead::Key, value)
    }
    fn end(self) -> Result<(), Unwritable> {
        self.ends();
        Ok(())
    }
}

impl SerializeStruct for Compound<'_, '_> {
    type Ok = ();
    type Error = Unwritable;
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        self.entry(name, Ahead::Field(name), value)
    }
    fn end(self) -> Result<(), Unwritable> {
        self.ends();
        Ok(())
    }
}

/// A variant that holds several values: an object of one entry.
pub(crate) struct Variant<'w, 'a>(Compound<'w, 'a>);

impl<'w, 'a> Variant<'w, 'a> {
    pub(super) fn new(writer: &'w mut Writer<'a>, begin: Mark, variant: &'static str) -> Self {
        writer.says();
        writer.out.mark(Mark::Object);
        writer.ahead = Ahead::Field(variant);
        Self(Compound::new(writer, begin, ""))
    }

    fn ends(self) {
        if self.0.is_begun {
            self.0.writer.out.mark(Mark::End);
        }
        self.0.writer.ahead = Ahead::Nothing;
        self.0.writer.out.mark(Mark::End);
    }
}

impl SerializeTupleVariant for Variant<'_, '_> {
    type Ok = ();
    type Error = Unwritable;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        self.0.item(value)
    }
    fn end(self) -> Result<(), Unwritable> {
        self.ends();
        Ok(())
    }
}

impl SerializeStructVariant for Variant<'_, '_> {
    type Ok = ();
    type Error = Unwritable;
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        self.0.entry(name, Ahead::Field(name), value)
    }
    fn end(self) -> Result<(), Unwritable> {
        self.ends();
        Ok(())
    }
}
