//! The work of this town, and how its agents do it: this example's agents follow a script where
//! others would ask a language model.

/// A file that an agent writes.
pub(crate) struct File {
    pub(crate) path: &'static str,
    pub(crate) text: &'static str,
}

/// One issue with its script.
pub(crate) struct Job {
    /// The rig's identifier.
    pub(crate) rig: &'static str,
    pub(crate) title: &'static str,
    pub(crate) body: &'static str,
    /// What the polecat writes.
    pub(crate) files: &'static [File],
    /// What it writes when the refinery asks for changes.
    pub(crate) repair: &'static [File],
    /// Titles of jobs that have to be merged before.
    pub(crate) after: &'static [&'static str],
    /// The first polecat on it crashes after its first file.
    pub(crate) crashes_once: bool,
}

/// Issues that land together on a feature branch.
pub(crate) struct ConvoyJob {
    /// The rig's identifier.
    pub(crate) rig: &'static str,
    pub(crate) title: &'static str,
    pub(crate) tasks: [Job; 3],
}

macro_rules! files {
    ($($path:literal = $source:literal),*) => {
        &[$(File { path: $path, text: include_str!(concat!("jobs/", $source)) }),*]
    };
}

/// The issues that are slung one by one.
pub(crate) static ISSUES: [Job; 4] = [
    Job {
        rig: "abacus",
        title: "Add multiplication",
        body: "multiply A B prints the product of two numbers.",
        files: files!(
            "lib/multiply.sh" = "multiply.sh",
            "tests/multiply.test" = "multiply.test"
        ),
        repair: &[],
        after: &[],
        crashes_once: false,
    },
    Job {
        rig: "abacus",
        title: "Add powers",
        body: "power BASE EXPONENT, by means of multiply.",
        files: files!(
            "lib/power.sh" = "power.sh",
            "tests/power.test" = "power.test"
        ),
        repair: &[],
        after: &["Add multiplication"],
        crashes_once: false,
    },
    Job {
        rig: "scribe",
        title: "Count words",
        body: "words TEXT prints how many words a text has.",
        files: files!(
            "lib/words.sh" = "words.sh",
            "tests/words.test" = "words.test"
        ),
        repair: &[],
        after: &[],
        crashes_once: true,
    },
    // The first version forgets the case that REVIEW.md wants, and has a fault that it would show.
    Job {
        rig: "scribe",
        title: "Make slugs",
        body: "slug TEXT prints a text as a part of a file name.",
        files: files!(
            "lib/slug.sh" = "slug_first.sh",
            "tests/slug.test" = "slug_first.test"
        ),
        repair: files!("lib/slug.sh" = "slug.sh", "tests/slug.test" = "slug.test"),
        after: &[],
        crashes_once: false,
    },
];

/// The issues that land together.
pub(crate) static CONVOY: ConvoyJob = ConvoyJob {
    rig: "abacus",
    title: "Roman numerals",
    tasks: [
        Job {
            rig: "abacus",
            title: "Write Roman numerals",
            body: "to_roman NUMBER, for numbers up to 39.",
            files: files!(
                "lib/to_roman.sh" = "to_roman.sh",
                "tests/to_roman.test" = "to_roman.test"
            ),
            repair: &[],
            after: &[],
            crashes_once: false,
        },
        Job {
            rig: "abacus",
            title: "Read Roman numerals",
            body: "from_roman NUMERAL, for what to_roman writes.",
            files: files!(
                "lib/from_roman.sh" = "from_roman.sh",
                "tests/from_roman.test" = "from_roman.test"
            ),
            repair: &[],
            after: &[],
            crashes_once: false,
        },
        Job {
            rig: "abacus",
            title: "Add Roman numerals",
            body: "add_roman A B, by means of the other two.",
            files: files!(
                "lib/add_roman.sh" = "add_roman.sh",
                "tests/add_roman.test" = "add_roman.test"
            ),
            repair: &[],
            after: &["Write Roman numerals", "Read Roman numerals"],
            crashes_once: false,
        },
    ],
};

/// The jobs of a town that works by pull requests: the single issues.
pub(crate) const BY_PULL_REQUEST: &[Job] = &ISSUES;

/// Every job.
pub(crate) fn all() -> impl Iterator<Item = &'static Job> {
    ISSUES.iter().chain(&CONVOY.tasks)
}

/// The job with this title.
pub(crate) fn titled(title: &str) -> Option<&'static Job> {
    all().find(|job| job.title == title)
}
