//! One macro for enums that are tagged by `type` on the wire (spec 8).
//!
//! Derived internally tagged enums lose the JSON path of an error inside a variant and can't
//! refuse unknown fields next to a flattened one; reading through the tag keeps both.

/// Declares an enum whose variants are structs of the same name, tagged by `type` in snake_case.
///
/// Gives `TYPES`, `type_name`, `Serialize` (derived) and `from_object`, which reads one variant
/// from a JSON object that no longer holds its tag.
macro_rules! tagged_enum {
    ($(#[$head:meta])* $enum:ident { $($(#[$doc:meta])* $variant:ident($struct:ty) = $tag:literal,)* }) => {
        $(#[$head])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize)]
        #[serde(tag = "type")]
        pub enum $enum {
            $($(#[$doc])* #[serde(rename = $tag)] $variant($struct),)*
        }

        impl $enum {
            /// Every type, as it stands on the wire.
            pub const TYPES: &'static [&'static str] = &[$($tag),*];

            /// The type as it stands on the wire.
            #[must_use]
            pub const fn type_name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $tag,)* }
            }

            /// Reads the variant `type_name` from an object that no longer holds its tag.
            pub(crate) fn from_object(
                type_name: &str,
                object: serde_json::Map<alloc::string::String, serde_json::Value>,
            ) -> Result<Self, crate::wire::WireError> {
                match type_name {
                    $($tag => crate::wire::read_value(serde_json::Value::Object(object)).map(Self::$variant),)*
                    _ => Err(crate::wire::WireError::new(
                        "type",
                        alloc::format!(
                            "unknown type \"{}\", expected one of {}",
                            crate::ids::shown(type_name, 80),
                            Self::TYPES.join(", "),
                        ),
                    )),
                }
            }
        }

        $(impl From<$struct> for $enum {
            fn from(value: $struct) -> Self {
                Self::$variant(value)
            }
        })*
    };
}

pub(crate) use tagged_enum;

use serde::{Deserialize, Deserializer};

/// Reads a variant without fields and refuses whatever stands beside its tag, which serde lets
/// pass.
pub(crate) fn nothing_more<'de, D: Deserializer<'de>>(input: D) -> Result<(), D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    Nothing::deserialize(input).map(|Nothing {}| ())
}

/// Null says as little as absence: models and hosts like to send it.
pub(crate) fn or_default<'de, T, D>(input: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::<T>::deserialize(input)?.unwrap_or_default())
}
