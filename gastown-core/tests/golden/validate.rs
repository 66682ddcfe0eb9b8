//! Just enough of JSON Schema to check our own schemas against examples: every keyword that they
//! use, and a panic for any other, so that nothing passes unlooked at. Formats and patterns are
//! compared with the parser's own judgement in the tests instead.

use serde_json::Value;

/// What annotates and does not judge, and what is judged elsewhere.
const ANNOTATIONS: [&str; 7] = [
    "title",
    "description",
    "default",
    "format",
    "pattern",
    "writeOnly",
    "$schema",
];

/// Whether `value` is what `schema` describes.
pub(crate) fn is_valid(schema: &Value, value: &Value) -> bool {
    let Some(keywords) = schema.as_object() else {
        return schema.as_bool().expect("a schema is an object or a bool");
    };
    keywords.iter().all(|(keyword, of)| match keyword.as_str() {
        "type" => is_of_type(of, value),
        "const" => of == value,
        "enum" => list(of).contains(value),
        "anyOf" => list(of).iter().any(|schema| is_valid(schema, value)),
        "oneOf" => {
            list(of)
                .iter()
                .filter(|schema| is_valid(schema, value))
                .count()
                == 1
        }
        "required" => value
            .as_object()
            .is_none_or(|object| list(of).iter().all(|name| object.contains_key(text(name)))),
        "properties" => value.as_object().is_none_or(|object| {
            let mut known = object
                .iter()
                .filter_map(|(name, value)| Some((of.get(name)?, value)));
            known.all(|(schema, value)| is_valid(schema, value))
        }),
        "additionalProperties" => value.as_object().is_none_or(|object| {
            let known = keywords.get("properties");
            let is_known = |name: &str| known.is_some_and(|known| known.get(name).is_some());
            object
                .iter()
                .filter(|(name, _)| !is_known(name))
                .all(|(_, value)| is_valid(of, value))
        }),
        "items" => value
            .as_array()
            .is_none_or(|items| items.iter().all(|item| is_valid(of, item))),
        "minItems" => value
            .as_array()
            .is_none_or(|items| items.len() >= number(of) as usize),
        "maxItems" => value
            .as_array()
            .is_none_or(|items| items.len() <= number(of) as usize),
        "minLength" => value
            .as_str()
            .is_none_or(|text| text.chars().count() >= number(of) as usize),
        "maxLength" => value
            .as_str()
            .is_none_or(|text| text.chars().count() <= number(of) as usize),
        "minimum" => value.as_f64().is_none_or(|value| value >= number(of)),
        "maximum" => value.as_f64().is_none_or(|value| value <= number(of)),
        annotation if ANNOTATIONS.contains(&annotation) => true,
        unknown => panic!("the keyword {unknown} is not looked at"),
    })
}

fn is_of_type(of: &Value, value: &Value) -> bool {
    if let Some(types) = of.as_array() {
        return types.iter().any(|of| is_of_type(of, value));
    }
    match text(of) {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        unknown => panic!("there is no type {unknown}"),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}
