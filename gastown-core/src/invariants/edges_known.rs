//! I8 edges-known: edges join beads that exist and agree with the fields kept beside them; `blocks`
//! is acyclic.

use alloc::format;
use alloc::vec::Vec;

use super::Violation;
use crate::edge::EdgeKind;
use crate::time::Timestamp;
use crate::town::Town;

pub(super) fn check(town: &Town, _: Timestamp, out: &mut Vec<Violation>) {
    for edge in town.edges() {
        for id in [&edge.bead_id, &edge.depends_on] {
            if town.bead(id).is_none() {
                let kind = edge.kind.as_str();
                let message = format!(
                    "edge {} {kind} {}: {id} is not there",
                    edge.bead_id, edge.depends_on
                );
                out.push(Violation::new(
                    "I8",
                    [&edge.bead_id, &edge.depends_on],
                    message,
                ));
            }
        }
    }
    for bead in town.live_beads() {
        if let Some(review) = bead.review()
            && let Some(edge) = town.depends_on(&bead.id, EdgeKind::Tracks).next()
            && town
                .depends_on(&bead.id, EdgeKind::Tracks)
                .all(|id| *id != review.source)
        {
            let message = format!(
                "{} names source {}, its edge {edge}",
                bead.id, review.source
            );
            out.push(Violation::new("I8", [&bead.id], message));
        }
        if let Some(parent) = &bead.parent_id
            && let Some(edge) = town.depends_on(&bead.id, EdgeKind::ParentChild).next()
            && town
                .depends_on(&bead.id, EdgeKind::ParentChild)
                .all(|id| id != parent)
        {
            let message = format!("{} names parent {parent}, its edge {edge}", bead.id);
            out.push(Violation::new("I8", [&bead.id], message));
        }
    }
    for circle in town.circles() {
        let beads: Vec<&str> = circle.iter().map(|id| id.as_str()).collect();
        let message = format!("blocks form a cycle of {}", beads.join(", "));
        out.push(Violation::new("I8", &circle, message));
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::violations;

    #[test]
    fn i8_edges_join_beads_that_exist() {
        assert!(
            violations("bead b1 issue open\nedge b1 blocks b2", "0s").contains("b2 is not there")
        );
    }

    #[test]
    fn i8_blocks_are_acyclic() {
        let town = "bead b1 issue open\nbead b2 issue open\nbead b3 issue open\nedge b1 blocks b2\nedge b2 blocks b3";
        assert!(!violations(town, "0s").contains("I8"));
        let cycle = std::format!("{town}\nedge b3 blocks b1");
        assert!(violations(&cycle, "0s").contains("blocks form a cycle of b1, b2, b3"));
        // What only leads there is not on it.
        let led = std::format!("{cycle}\nbead b0 issue open\nedge b0 blocks b1");
        assert_eq!(violations(&led, "0s"), violations(&cycle, "0s"));
    }

    /// Whoever mends one of them makes no other one.
    #[test]
    fn i8_each_circle_is_reported() {
        let town = "bead b1 issue open\nbead b2 issue open\nbead b3 issue open\nbead b4 issue open\nedge b3 blocks b4\nedge b4 blocks b3";
        let both = std::format!("{town}\nedge b1 blocks b2\nedge b2 blocks b1");
        assert!(violations(&both, "0s").contains("cycle of b1, b2"));
        let rest = violations(town, "0s");
        assert!(
            rest.contains("cycle of b3, b4") && violations(&both, "0s").contains(&rest),
            "{rest}"
        );
    }

    /// What builds on a review that was withdrawn waits for the one that goes on in its place.
    #[test]
    fn i8_a_circle_through_a_closed_review_is_reported() {
        let town = "bead b1 issue in_review status_changed_at=0s\nbead m1 merge_request closed review.source=b1 review.outcome=withdrawn\nbead m2 merge_request open review.source=b1\nbead b2 issue open\nedge m1 tracks b1\nedge m2 tracks b1\nedge m2 blocks b2\nedge b2 blocks m1";
        let told = violations(town, "0s");
        assert!(told.contains("cycle of b2, m1, m2"), "{told}");
        let merged = town.replace("m2 merge_request open", "m2 merge_request closed");
        assert!(!violations(&merged, "0s").contains("cycle"));
    }

    #[test]
    fn i8_a_field_that_disagrees_with_its_edge_is_reported() {
        let town = "bead b1 issue in_review status_changed_at=0s\nbead m1 merge_request open review.source=b2\nedge m1 tracks b1";
        assert!(violations(town, "0s").contains("m1 names source b2, its edge b1"));
    }
}
