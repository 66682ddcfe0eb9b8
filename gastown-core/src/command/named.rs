//! Which beads a command names.

use alloc::vec::Vec;

use super::CommandKind;
use crate::ids::BeadId;

impl CommandKind {
    /// The beads that it names, in the order of its fields: whom it concerns, for logs and audits.
    ///
    /// ```
    /// use gastown_core::CommandKind;
    /// use gastown_core::commands::Hold;
    /// let hold = CommandKind::from(Hold { bead_id: "b1".parse()? });
    /// assert_eq!(hold.beads(), [&"b1".parse()?]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn beads(&self) -> Vec<&BeadId> {
        match self {
            CommandKind::Sling(sling) => sling.depends_on.iter().collect(),
            CommandKind::StartConvoy(start) => [&start.convoy_id].into(),
            CommandKind::LandConvoy(land) => [&land.convoy_id].into(),
            CommandKind::ConvoyAdd(add) => [&add.convoy_id, &add.bead_id].into(),
            CommandKind::ConvoyRemove(remove) => [&remove.convoy_id, &remove.bead_id].into(),
            CommandKind::Acknowledge(acknowledge) => [&acknowledge.escalation_id].into(),
            CommandKind::ResolveTriage(resolve) => [&resolve.request_id].into(),
            CommandKind::UpdateBead(update) => [&update.bead_id].into(),
            CommandKind::Hold(hold) => [&hold.bead_id].into(),
            CommandKind::Release(release) => [&release.bead_id].into(),
            CommandKind::CloseBead(close) => [&close.bead_id].into(),
            CommandKind::FailBead(fail) => [&fail.bead_id].into(),
            CommandKind::ReopenBead(reopen) => [&reopen.bead_id].into(),
            CommandKind::Retry(retry) => [&retry.bead_id].into(),
            CommandKind::Grant(grant) => [&grant.bead_id].into(),
            CommandKind::DeleteBeads(delete) => delete.bead_ids.iter().collect(),
            CommandKind::SetDependencies(set) => {
                [&set.bead_id].into_iter().chain(&set.depends_on).collect()
            }
            CommandKind::CreateMolecule(create) => [&create.bead_id].into(),
            CommandKind::SlingConvoy(_)
            | CommandKind::Done(_)
            | CommandKind::RequestChanges(_)
            | CommandKind::Escalate(_)
            | CommandKind::Nudge(_)
            | CommandKind::SendMail(_)
            | CommandKind::CheckMail(_)
            | CommandKind::ReportStatus(_)
            | CommandKind::Checkpoint(_)
            | CommandKind::AdvanceStep(_)
            | CommandKind::AddRig(_)
            | CommandKind::UpdateRig(_)
            | CommandKind::RemoveRig(_)
            | CommandKind::UpdateConfig(_)
            | CommandKind::Probe(_) => Vec::new(),
        }
    }
}
