//! The two repositories that the town works on: bare, with a few real files and a test command.

use std::fs;
use std::path::{Path, PathBuf};

use crate::directory::{Directory, write};
use crate::failure::Failure;
use crate::git::Repository;

/// A repository to begin with.
pub(crate) struct Origin {
    /// The rig's identifier and name.
    pub(crate) rig: &'static str,
    files: &'static [(&'static str, &'static str)],
}

/// The branch that work goes to.
pub(crate) const DEFAULT_BRANCH: &str = "main";

macro_rules! source {
    ($path:literal) => {
        include_str!(concat!("repositories/", $path))
    };
}

/// Both of them.
pub(crate) static ORIGINS: [Origin; 2] = [
    Origin {
        rig: "abacus",
        files: &[
            ("README.md", source!("abacus/README.md")),
            ("REVIEW.md", source!("REVIEW.md")),
            ("lib/add.sh", source!("abacus/lib/add.sh")),
            ("tests/add.test", source!("abacus/tests/add.test")),
            ("tests/run.sh", source!("run.sh")),
        ],
    },
    Origin {
        rig: "scribe",
        files: &[
            ("README.md", source!("scribe/README.md")),
            ("REVIEW.md", source!("REVIEW.md")),
            ("lib/shout.sh", source!("scribe/lib/shout.sh")),
            ("tests/shout.test", source!("scribe/tests/shout.test")),
            ("tests/run.sh", source!("run.sh")),
        ],
    },
];

/// Makes what is not there yet. A crash leaves each of them whole or not there at all.
pub(crate) fn make(directory: &Directory) -> Result<(), Failure> {
    for origin in &ORIGINS {
        let path = directory.origin(origin.rig);
        let beside = ["work", "new"].map(|extension| path.with_extension(extension));
        remove(&beside)?;
        if !path.exists() {
            build(origin, &path, &beside)?;
            remove(&beside)?;
        }
    }
    Ok(())
}

fn remove(paths: &[PathBuf]) -> Result<(), Failure> {
    for path in paths.iter().filter(|path| path.exists()) {
        fs::remove_dir_all(path).map_err(|source| Failure::file(path, source))?;
    }
    Ok(())
}

/// Builds it beside its place and moves it there in one step.
fn build(origin: &Origin, path: &Path, [work, bare]: &[PathBuf; 2]) -> Result<(), Failure> {
    for (file, text) in origin.files {
        write(&work.join(file), text)?;
    }
    let repository = Repository::new(work);
    let first = ["init", "--quiet", "--initial-branch", DEFAULT_BRANCH];
    repository.run(&first)?;
    repository.run(&["add", "--all"])?;
    repository.run(&[
        "-c",
        "user.name=Gastown example",
        "-c",
        "user.email=example@gastown.invalid",
        "commit",
        "--quiet",
        "-m",
        "Begin",
    ])?;
    let to = bare.display().to_string();
    repository.run(&["clone", "--quiet", "--bare", ".", &to])?;
    fs::rename(bare, path).map_err(|source| Failure::file(path, source))
}
