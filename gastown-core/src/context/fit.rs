//! A start that fits into a line: agents are told what they need in one, and a start that can't be
//! said is a refused dispatch, which holds up its whole town (spec 3.6).

use alloc::string::String;

use serde::Serialize;
use serde_json::{Map, Value};

use super::Prime;
use crate::ids::cut;
use crate::prompts::{prompt_for, prompt_within};
use crate::town::Town;

/// How long prompt and context may be together, in bytes of JSON. A line has 1 MiB; names, branches
/// and the rest of a start take less than what is left of it.
pub(super) const START_BYTES_MAX: usize = 1024 * 1024 - 64 * 1024;

/// How much is left of each text of a start that is too long, in characters: the first with which
/// it fits. No identifier is longer than the least.
const LEFT_OF_TEXTS: [usize; 6] = [16_384, 4_096, 1_024, 512, 256, 128];

/// Of a list of files as many are left as have so many characters each.
const CHARACTERS_PER_FILE: usize = 64;

/// What agents find at the end of what was cut.
const CUT: &str = " … (cut)";

/// What has to stay as it is: to the agent a branch of which the end is missing is another one.
const NAMES: [&str; 3] = ["branch", "target_branch", "pr_url"];

/// What is said of a pull request that was seen. It is as long as the forge likes, and an agent looks
/// at the pull request itself.
const OBSERVATION: &str = "observation";

/// The prompt and the context of a start, with texts cut as far as they have to be.
pub(super) fn told(town: &Town, primed: &Prime) -> (String, Value) {
    // Every part has text keys and plain values only, so writing it can't fail.
    let whole = serde_json::to_value(primed).unwrap_or_default();
    let prompt = prompt_for(town, primed);
    let mut told = (prompt, whole);
    if fits(&told) {
        return told;
    }
    for characters_max in LEFT_OF_TEXTS {
        cut_texts(&mut told.1, characters_max);
        told.0 = prompt_within(town, primed, Some(characters_max));
        if fits(&told) {
            break;
        }
    }
    told
}

fn fits((prompt, context): &(String, Value)) -> bool {
    let bytes = json_bytes(prompt).saturating_add(json_bytes(context));
    bytes <= START_BYTES_MAX
}

fn json_bytes(value: &impl Serialize) -> usize {
    serde_json::to_string(value).map_or(usize::MAX, |text| text.len())
}

fn cut_texts(value: &mut Value, characters_max: usize) {
    match value {
        Value::String(text) => shorten(text, characters_max),
        Value::Array(items) => {
            for item in items {
                cut_texts(item, characters_max);
            }
        }
        Value::Object(fields) => cut_fields(fields, characters_max),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn cut_fields(fields: &mut Map<String, Value>, characters_max: usize) {
    for (name, value) in fields {
        if name == "files"
            && let Value::Array(files) = value
        {
            // A path of which the end is missing names nothing.
            let files_max = characters_max.checked_div(CHARACTERS_PER_FILE);
            let files_max = files_max.unwrap_or_default();
            if files.len() > files_max {
                files.truncate(files_max);
                files.push(CUT.trim_start().into());
            }
        } else if name == OBSERVATION && value.is_object() {
            *value = Value::Null;
        } else if !NAMES.contains(&name.as_str()) {
            cut_texts(value, characters_max);
        }
    }
}

fn shorten(text: &mut String, characters_max: usize) {
    // What was cut before ends in its mark already.
    let whole = text.strip_suffix(CUT).unwrap_or(text);
    if whole.chars().nth(characters_max).is_some() {
        *text = cut(whole, characters_max, CUT);
    }
}

#[cfg(test)]
mod tests;
