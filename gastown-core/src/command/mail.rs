//! Mail between agents (spec 2.1).

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use serde_json::{Value, json};

use super::check::{self, limits};
use super::data::SendMail;
use super::{Actor, CommandError, Did, Executed, Refusal};
use crate::agent::{Agent, AgentStatus, Role};
use crate::bead::{Bead, BeadKind, BeadStatus};
use crate::ids::{AgentId, BeadId, IdKind, shown};
use crate::mail::Mail;
use crate::reason::{Reason, ReasonCode};
use crate::town::Town;

impl Town {
    pub(super) fn send_mail(&mut self, mail: SendMail, actor: &Actor) -> Executed {
        actor.agent()?;
        let to = self.addressee(&mail.to)?;
        // Workers of one rig have no business with another; the mayor talks to all.
        if to.role != Role::Mayor {
            actor.may_touch("to", to.rig_id.as_ref())?;
        }
        check::title("subject", &mail.subject)?;
        check::text("body", &mail.body)?;
        let to = to.id.clone();
        let id = self.deliver_mail(to.clone(), mail.subject, &mail.body, actor)?;
        Ok(Did::made(&id, format!("mail to {to}")))
    }

    /// The living agent that `to` names: an id, the mayor, or a name that only one has.
    fn addressee(&self, to: &str) -> Result<&Agent, CommandError> {
        let by_id = AgentId::new(to).ok().and_then(|id| self.agent(&id));
        let mayor = || self.mayor().filter(|_| to == Role::Mayor.as_str());
        let named = || {
            let mut named = self.agents().filter(|agent| agent.name == to);
            named.next().filter(|_| named.next().is_none())
        };
        by_id
            .or_else(mayor)
            .or_else(named)
            .filter(|agent| agent.status != AgentStatus::Dead)
            .ok_or_else(|| CommandError::missing("to", "living agent", shown(to, 80)))
    }

    pub(super) fn deliver_mail(
        &mut self,
        to: AgentId,
        subject: alloc::string::String,
        body: &str,
        actor: &Actor,
    ) -> Result<BeadId, CommandError> {
        if self.unread_mail(&to).count() >= limits::MAIL_UNREAD_MAX {
            return Err(CommandError::new(
                Refusal::Limit,
                "to",
                format!("{} messages wait for it already", limits::MAIL_UNREAD_MAX),
            ));
        }
        let id = self.next_bead_id(IdKind::Message);
        let kind = BeadKind::Message(Mail {
            to,
            from: Some(actor.name.clone()),
        });
        let mut bead = Bead::new(id.clone(), kind, subject, actor.now);
        bead.body = Some(body.into());
        self.add_bead(bead, actor);
        Ok(id)
    }

    /// Mail that an agent has not read, the oldest first.
    pub(crate) fn unread_mail<'a>(&'a self, to: &'a AgentId) -> impl Iterator<Item = &'a Bead> {
        self.live_beads()
            .filter(move |bead| matches!(&bead.kind, BeadKind::Message(mail) if mail.to == *to))
    }

    /// Reading delivers: what was read is closed.
    pub(super) fn check_mail(&mut self, actor: &Actor) -> Executed {
        let to = actor.agent()?.clone();
        let mut unread: Vec<Bead> = self.unread_mail(&to).cloned().collect();
        let mut mail: Vec<Value> = unread.iter().map(mail_as_json).collect();
        let mut bytes = 0_usize;
        let fitting = mail.iter().take_while(|message| {
            bytes = bytes.saturating_add(message.to_string().len());
            bytes <= limits::MAIL_READ_BYTES_MAX
        });
        // One always fits.
        let read = fitting.count().max(1).min(unread.len());
        let more = unread.split_off(read).len();
        mail.truncate(read);
        let reason = Reason::new(ReasonCode::Delivered, "the message was read");
        for bead in &unread {
            self.set_status(
                &bead.id,
                BeadStatus::Closed,
                &reason,
                "check_mail",
                actor.now,
            );
        }
        Ok(Did {
            data: Value::Array(mail),
            ..Did::text(match more {
                0 => format!("{read} new messages"),
                more => format!("{read} new messages; {more} more wait: ask again"),
            })
        })
    }
}

/// A message as agents read it.
pub(crate) fn mail_as_json(bead: &Bead) -> Value {
    let from = match &bead.kind {
        BeadKind::Message(mail) => mail.from.as_deref(),
        BeadKind::Issue(_)
        | BeadKind::MergeRequest(_)
        | BeadKind::Convoy(_)
        | BeadKind::Escalation(_)
        | BeadKind::Molecule => None,
    };
    json!({"id": bead.id, "from": from, "subject": bead.title, "body": bead.body,
           "at": bead.created_at})
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use super::*;
    use crate::command::Caller;
    use crate::testing::{at, town};

    /// The record of the command repeats the messages: all of them in one could be too long for a store,
    /// and then nobody could ever read them.
    #[test]
    fn mail_is_read_as_far_as_its_record_can_hold_it() {
        let mut town = town("agent a1 mayor idle\nagent a2 mayor idle");
        let from = Caller::agent("a2".parse().unwrap());
        // JSON writes it in six bytes.
        let body = "\u{1}".repeat(limits::TEXT_BYTES_MAX);
        for _ in 0..5 {
            let mail = SendMail {
                to: "a1".into(),
                subject: "long".into(),
                body: body.clone(),
            };
            town.execute(super::super::Command::new(from.clone(), mail), at("0s"))
                .unwrap();
        }
        let reader = Caller::agent("a1".parse().unwrap());
        let said: Vec<(String, usize)> = (0..4)
            .map(|_| {
                let check =
                    super::super::Command::new(reader.clone(), crate::commands::CheckMail {});
                let receipt = town.execute(check, at("0s")).unwrap();
                let read = receipt.data.as_array().unwrap().len();
                (receipt.text, read)
            })
            .collect();
        let expected = [
            ("2 new messages; 3 more wait: ask again", 2),
            ("2 new messages; 1 more wait: ask again", 2),
            ("1 new messages", 1),
            ("0 new messages", 0),
        ];
        assert_eq!(said, expected.map(|(text, read)| (text.into(), read)));
    }
}
