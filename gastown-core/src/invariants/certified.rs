//! I19 certified: every merge has a valid certificate.

use alloc::vec::Vec;

use super::{Transition, Violation};

pub(super) fn check_step(step: &Transition<'_>, out: &mut Vec<Violation>) {
    for merge in step.merges() {
        let certificate = &merge.certificate;
        let settings = step.before.bead(&merge.bead_id);
        let settings = settings.map(|mr| step.before.settings_of_review(mr));
        let valid = certificate.head_sha == merge.head_sha
            && settings.is_some_and(|it| certificate.is_valid(&it, step.before.policy(), step.now));
        if !valid {
            let message = "merged without a valid certificate for its head";
            out.push(Violation::new("I19", [&merge.bead_id], message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{merge_of, merged};
    use crate::testing::GREEN;

    #[test]
    fn i19_a_certificate_of_this_head_with_every_condition_and_young() {
        let merge = merge_of(GREEN);
        assert_eq!(merged(GREEN, &merge), "");
        let other = merge.replacen(r#""head_sha":"h1""#, r#""head_sha":"h0""#, 1);
        assert_ne!(other, merge);
        assert!(merged(GREEN, &other).contains("I19 m1"));
        let less = merge.replace(r#""name":"threads""#, r#""name":"thread""#);
        assert!(merged(GREEN, &less).contains("I19 m1"));
        // Older than two poll intervals.
        let old = merge.replace("11:59:50.000Z", "11:57:59.999Z");
        assert_ne!(old, merge);
        assert!(merged(GREEN, &old).contains("I19 m1"));
    }
}
