//! What a session keeps from its start on.

use gastown_core::StartRequest;

/// Who pays for a session, and which model it uses (spec 6.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionContext {
    pub(crate) model: Option<String>,
    pub(crate) organization_id: Option<String>,
}

impl From<&StartRequest> for SessionContext {
    fn from(request: &StartRequest) -> Self {
        Self {
            model: request.model.clone(),
            organization_id: request.organization_id.clone(),
        }
    }
}
