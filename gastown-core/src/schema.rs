//! JSON Schemas of what comes in, for tools, forms and settings pages (spec 1.9, 2.1).

use alloc::format;
use alloc::string::String;

use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

/// The schema of `T`, with everything that it refers to inside of it.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    settings.into_generator().into_root_schema_for::<T>().into()
}

/// Gives every property that has none a title: its name, in words that begin with a capital.
pub(crate) fn titled(schema: &mut Schema) {
    let properties = schema
        .get_mut("properties")
        .and_then(|properties| properties.as_object_mut());
    for (name, property) in properties.into_iter().flatten() {
        if let Some(property) = property.as_object_mut() {
            property
                .entry("title")
                .or_insert_with(|| title_of(name).into());
        }
    }
}

/// A field's name for people.
fn title_of(name: &str) -> String {
    let words = name.replace('_', " ");
    let mut letters = words.chars();
    match letters.next() {
        Some(first) => format!("{}{}", first.to_uppercase(), letters.as_str()),
        None => words,
    }
}

/// Lets every property be null as well, which takes a value back (spec 1.9).
pub(crate) fn nullable(schema: &mut Schema) {
    let properties = schema
        .get_mut("properties")
        .and_then(|properties| properties.as_object_mut());
    for (_, property) in properties.into_iter().flatten() {
        let is_nullable = property
            .get("type")
            .is_some_and(|of| of.as_array().is_some_and(|of| of.contains(&json!("null"))))
            || property
                .get("anyOf")
                .and_then(Value::as_array)
                .is_some_and(|any| any.contains(&json!({"type": "null"})));
        if is_nullable {
            continue;
        }
        let mut outer = serde_json::Map::new();
        for name in ["title", "description"] {
            if let Some(text) = property.get(name) {
                outer.insert(name.into(), text.clone());
            }
        }
        outer.insert("anyOf".into(), json!([property, {"type": "null"}]));
        *property = Value::Object(outer);
    }
}

/// One property that stands beside those of a variant.
pub(crate) struct Beside {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) schema: Value,
    pub(crate) required: bool,
}

/// The schema of one variant of a tagged enum as it stands on the wire (spec 8).
pub(crate) fn tagged(mut schema: Value, type_name: &str, beside: &[Beside]) -> Value {
    let Some(object) = schema.as_object_mut() else {
        return schema;
    };
    let tag = json!({"title": "Type", "description": "What it is.", "const": type_name});
    let mut add = |name: &str, property: Value, required: bool| {
        let properties = object.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            properties.insert(name.into(), property);
        }
        if required {
            let list = object.entry("required").or_insert_with(|| json!([]));
            if let Some(list) = list.as_array_mut() {
                list.push(name.into());
            }
        }
    };
    add("type", tag, true);
    for field in beside {
        let mut property = field.schema.clone();
        if let Some(property) = property.as_object_mut() {
            property.insert("title".into(), title_of(field.name).into());
            property.insert("description".into(), field.description.into());
        }
        add(field.name, property, field.required);
    }
    schema
}
