//! A host's own settings over those of a town.

use serde_json::Value;

/// Puts what an object has over another's, member by member.
pub(crate) fn lay_over(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (name, value) in over {
                lay_over(under.entry(name).or_insert(Value::Null), value);
            }
        }
        (under, over) => under.clone_from(over),
    }
}
