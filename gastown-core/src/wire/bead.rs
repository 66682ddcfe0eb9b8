//! The wire form of a bead (spec 1.4, 1.11): labels and metadata as hosts know them.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{WireError, read_value};
use crate::bead::{Bead, BeadKind, BeadStatus, BeadType, CreatedBy, Failure, Priority};
use crate::convoy::Convoy;
use crate::escalation::Escalation;
use crate::ids::{AgentId, BeadId, RigId};
use crate::mail::Mail;
use crate::reason::ReasonCode;
use crate::review::Review;
use crate::time::Timestamp;
use crate::work::{PrConflict, PrFeedback, PrFixup, Rework, TriageRequest, Work, label};

/// A bead as it is written: one flat object, with one block for the state of its type.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BeadForm {
    id: BeadId,
    #[serde(rename = "type")]
    bead_type: BeadType,
    status: BeadStatus,
    title: String,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    rig_id: Option<RigId>,
    #[serde(default)]
    parent_id: Option<BeadId>,
    #[serde(default)]
    assignee: Option<AgentId>,
    #[serde(default)]
    priority: Priority,
    #[serde(default)]
    labels: BTreeSet<String>,
    #[serde(default)]
    metadata: Map<String, Value>,
    #[serde(default)]
    dispatch_attempts: u32,
    #[serde(default)]
    last_dispatch_attempt_at: Option<Timestamp>,
    #[serde(default)]
    created_by: Option<String>,
    created_at: Timestamp,
    #[serde(default)]
    updated_at: Option<Timestamp>,
    #[serde(default)]
    status_changed_at: Option<Timestamp>,
    #[serde(default)]
    closed_at: Option<Timestamp>,
    #[serde(default)]
    failure: Option<Failure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    root: Option<BeadId>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    told: BTreeMap<ReasonCode, Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    review: Option<Review>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    convoy: Option<Convoy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    escalation: Option<Escalation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<Mail>,
}

/// Reads a bead from JSON that was parsed already.
///
/// # Errors
/// [`WireError`] names the path and what was expected.
pub fn bead_from_value(value: Value) -> Result<Bead, WireError> {
    read_value::<BeadForm>(value).and_then(from_form)
}

fn from_form(mut form: BeadForm) -> Result<Bead, WireError> {
    let held = form.labels.remove(label::HELD);
    let kind = take_kind(&mut form)?;
    Ok(Bead {
        id: form.id,
        kind,
        status: form.status,
        title: form.title,
        body: form.body,
        rig_id: form.rig_id,
        parent_id: form.parent_id,
        assignee: form.assignee,
        priority: form.priority,
        labels: form.labels,
        held,
        metadata: form.metadata,
        dispatch_attempts: form.dispatch_attempts,
        last_dispatch_attempt_at: form.last_dispatch_attempt_at,
        created_by: form.created_by.map(CreatedBy::from_text),
        created_at: form.created_at,
        updated_at: form.updated_at.unwrap_or(form.created_at),
        status_changed_at: form.status_changed_at,
        closed_at: form.closed_at,
        failure: form.failure,
        root: form.root,
        told: form.told,
    })
}

/// Takes the block of the bead's type, its labels and the metadata that its sort of work owns.
fn take_kind(form: &mut BeadForm) -> Result<BeadKind, WireError> {
    let blocks = [
        ("review", form.review.is_some(), BeadType::MergeRequest),
        ("convoy", form.convoy.is_some(), BeadType::Convoy),
        (
            "escalation",
            form.escalation.is_some(),
            BeadType::Escalation,
        ),
        ("message", form.message.is_some(), BeadType::Message),
    ];
    for (name, present, bead_type) in blocks {
        if present && bead_type != form.bead_type {
            return Err(WireError::new(
                name,
                format!("not expected on type {:?}", form.bead_type),
            ));
        }
    }
    let missing = |name: &str| WireError::new(name, format!("missing field `{name}`"));
    let kind = match form.bead_type {
        BeadType::Issue => BeadKind::Issue(take_work(form)?),
        BeadType::MergeRequest => {
            form.labels.remove(label::MERGE_REQUEST);
            BeadKind::MergeRequest(Box::new(
                form.review.take().ok_or_else(|| missing("review"))?,
            ))
        }
        BeadType::Convoy => {
            form.labels.remove(label::CONVOY);
            // Every field of a convoy is optional, so all of them are.
            BeadKind::Convoy(Box::new(form.convoy.take().unwrap_or_default()))
        }
        BeadType::Escalation => {
            form.labels.remove(label::ESCALATION);
            form.labels
                .retain(|name| !name.starts_with(label::SEVERITY_PREFIX));
            let escalation = form.escalation.take();
            BeadKind::Escalation(escalation.ok_or_else(|| missing("escalation"))?)
        }
        BeadType::Molecule => {
            form.labels.remove(label::MOLECULE);
            BeadKind::Molecule
        }
        BeadType::Message => {
            // A message without a block of its own is for its assignee.
            let plain = form.assignee.clone().map(|to| Mail {
                to,
                from: form.created_by.clone(),
            });
            let mail = form.message.take().or(plain);
            BeadKind::Message(mail.ok_or_else(|| missing("message"))?)
        }
    };
    match form
        .labels
        .iter()
        .find(|name| name.starts_with(label::PREFIX))
    {
        None => Ok(kind),
        Some(name) => Err(WireError::new(
            "labels",
            format!(
                "engine label \"{}\" is unknown or does not fit",
                crate::ids::shown(name, 80)
            ),
        )),
    }
}

fn take_work(form: &mut BeadForm) -> Result<Work, WireError> {
    const SORTS: [&str; 7] = [
        label::REWORK,
        label::PR_FEEDBACK,
        label::PR_CONFLICT,
        label::PR_FIXUP,
        label::TRIAGE_REQUEST,
        label::TRIAGE,
        label::MOLECULE_STEP,
    ];
    let found: Vec<&str> = SORTS
        .into_iter()
        .filter(|name| form.labels.remove(*name))
        .collect();
    let metadata = &mut form.metadata;
    match found.as_slice() {
        [] => Ok(Work::Plain),
        [label::REWORK] => take_keys(metadata, Rework::KEYS).map(Work::Rework),
        [label::PR_FEEDBACK] => take_keys(metadata, PrFeedback::KEYS).map(Work::PrFeedback),
        [label::PR_CONFLICT] => take_keys(metadata, PrConflict::KEYS).map(Work::PrConflict),
        [label::PR_FIXUP] => take_keys(metadata, PrFixup::KEYS).map(Work::PrFixup),
        [label::TRIAGE_REQUEST] => {
            take_keys(metadata, TriageRequest::KEYS).map(Work::TriageRequest)
        }
        [label::TRIAGE] => Ok(Work::TriageBatch),
        [label::MOLECULE_STEP] => Ok(Work::MoleculeStep),
        several => Err(WireError::new(
            "labels",
            format!(
                "expected one sort of work at most, found {}",
                several.join(" and ")
            ),
        )),
    }
}

/// Moves the keys that a sort of work owns out of the metadata and reads them.
fn take_keys<T: serde::de::DeserializeOwned>(
    metadata: &mut Map<String, Value>,
    keys: &[&str],
) -> Result<T, WireError> {
    let own: Map<String, Value> = keys
        .iter()
        .filter_map(|key| {
            metadata
                .remove(*key)
                .map(|value| ((*key).to_string(), value))
        })
        .filter(|(_, value)| !value.is_null())
        .collect();
    read_value(Value::Object(own)).map_err(|error| error.under("metadata"))
}

fn to_form(bead: &Bead) -> BeadForm {
    let mut form = BeadForm {
        id: bead.id.clone(),
        bead_type: bead.kind.bead_type(),
        status: bead.status,
        title: bead.title.clone(),
        body: bead.body.clone(),
        rig_id: bead.rig_id.clone(),
        parent_id: bead.parent_id.clone(),
        assignee: bead.assignee.clone(),
        priority: bead.priority,
        labels: bead.labels.clone(),
        metadata: bead.metadata.clone(),
        dispatch_attempts: bead.dispatch_attempts,
        last_dispatch_attempt_at: bead.last_dispatch_attempt_at,
        created_by: bead.created_by.as_ref().map(|by| by.as_str().to_string()),
        created_at: bead.created_at,
        updated_at: Some(bead.updated_at),
        status_changed_at: bead.status_changed_at,
        closed_at: bead.closed_at,
        failure: bead.failure.clone(),
        root: bead.root.clone(),
        told: bead.told.clone(),
        review: None,
        convoy: None,
        escalation: None,
        message: None,
    };
    if bead.held {
        form.labels.insert(label::HELD.to_string());
    }
    match &bead.kind {
        BeadKind::Issue(work) => put_work(work, &mut form),
        BeadKind::MergeRequest(review) => {
            form.labels.insert(label::MERGE_REQUEST.to_string());
            form.review = Some((**review).clone());
        }
        BeadKind::Convoy(convoy) => {
            form.labels.insert(label::CONVOY.to_string());
            form.convoy = Some((**convoy).clone());
        }
        BeadKind::Escalation(escalation) => {
            form.labels.insert(label::ESCALATION.to_string());
            form.labels.insert(format!(
                "{}{}",
                label::SEVERITY_PREFIX,
                escalation.severity.as_str()
            ));
            form.escalation = Some(escalation.clone());
        }
        BeadKind::Molecule => {
            form.labels.insert(label::MOLECULE.to_string());
        }
        BeadKind::Message(mail) => form.message = Some(mail.clone()),
    }
    form
}

fn put_work(work: &Work, form: &mut BeadForm) {
    if let Some(name) = work.label() {
        form.labels.insert(name.to_string());
    }
    let own = match work {
        Work::Plain | Work::TriageBatch | Work::MoleculeStep => Ok(Value::Null),
        Work::Rework(data) => serde_json::to_value(data),
        Work::PrFeedback(data) => serde_json::to_value(data),
        Work::PrConflict(data) => serde_json::to_value(data),
        Work::PrFixup(data) => serde_json::to_value(data),
        Work::TriageRequest(data) => serde_json::to_value(data),
    };
    // These structs have text keys and plain values only, so writing them can't fail.
    if let Ok(Value::Object(own)) = own {
        form.metadata.extend(own);
    }
    if let Work::TriageRequest(data) = work {
        form.metadata
            .insert("triage_type".to_string(), data.triage_type.as_str().into());
    }
}

impl Serialize for Bead {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        to_form(self).serialize(out)
    }
}

impl<'de> Deserialize<'de> for Bead {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        BeadForm::deserialize(input)
            .and_then(|form| from_form(form).map_err(serde::de::Error::custom))
    }
}
