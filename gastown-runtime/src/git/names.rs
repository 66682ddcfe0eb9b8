//! Names that go into command lines and paths.

use gastown_core::Masker;

use super::GitError;

/// The longest file name that file systems take, in bytes.
const FILE_NAME_BYTES_MAX: usize = 255;
/// How much of a name an error shows, in characters.
const SHOWN_CHARACTERS_MAX: usize = 80;

/// Refuses what git would refuse as a branch, or could take for an option or a revision.
pub(crate) fn check_branch(what: &'static str, name: &str) -> Result<(), GitError> {
    match branch_problem(name) {
        None => Ok(()),
        Some(problem) => Err(refused(what, name, problem)),
    }
}

/// The rules of `git check-ref-format --branch`.
fn branch_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("is empty")
    } else if name.starts_with('-') {
        Some("begins with a dash")
    } else if name == "HEAD" || name == "@" {
        Some("is a name of git's own")
    } else if name.contains("..") || name.contains("@{") || name.ends_with('.') {
        Some("could be read as a revision")
    } else if name
        .chars()
        .any(|c| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c))
    {
        Some("holds a character that no branch may have")
    } else if name
        .split('/')
        .any(|part| part.is_empty() || part.starts_with('.') || part.ends_with(".lock"))
    {
        Some("has a part that no branch may have")
    } else {
        None
    }
}

/// Refuses an address that git could take for an option.
pub(crate) fn check_url(url: &str) -> Result<(), GitError> {
    if url.is_empty() {
        Err(refused("git URL", url, "is empty"))
    } else if url.starts_with('-') {
        Err(refused("git URL", url, "begins with a dash"))
    } else if url.chars().any(char::is_control) {
        Err(refused("git URL", url, "holds a control character"))
    } else {
        Ok(())
    }
}

/// A file name for an identifier: one to one, and never a path.
pub(crate) fn file_name(what: &'static str, id: &str) -> Result<String, GitError> {
    let mut name = String::with_capacity(id.len());
    for (at, c) in id.chars().enumerate() {
        // A leading dot would hide the file, or be `..`.
        if "/\\%:\0".contains(c) || (at == 0 && c == '.') {
            name.push_str(&format!("%{:02X}", u32::from(c)));
        } else {
            name.push(c);
        }
    }
    if name.len() > FILE_NAME_BYTES_MAX {
        return Err(refused(what, id, "is too long to name a file"));
    }
    Ok(name)
}

fn refused(what: &'static str, text: &str, problem: &'static str) -> GitError {
    let shown = Masker::default().mask(text);
    GitError::Name {
        what,
        shown: shown.chars().take(SHOWN_CHARACTERS_MAX).collect(),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn branches_are_judged_as_git_judges_them() {
        let names = [
            "main",
            "gt/ash/b1",
            "convoy/x/12345678/head",
            "é",
            "a.b",
            "a-",
            "@a",
            "HEAD",
            "@",
            "-a",
            "",
            "a..b",
            "a b",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[",
            "a\\b",
            ".a",
            "a/.b",
            "a.lock",
            "a.lock/b",
            "/a",
            "a/",
            "a//b",
            "a.",
            "a@{1}",
            "a\u{7f}",
        ];
        for name in names {
            let git = Command::new("git")
                .args(["check-ref-format", "--branch", name])
                .output()
                .unwrap();
            // Git also reads its own shorthands here, which are no names.
            let expected = git.status.success() && name != "@";
            assert_eq!(check_branch("branch", name).is_ok(), expected, "{name:?}");
        }
    }

    #[test]
    fn file_names_are_one_to_one_and_never_paths() {
        let cases = [
            ("a1", "a1"),
            ("../x", "%2E.%2Fx"),
            ("..", "%2E."),
            ("a%2Fb", "a%252Fb"),
            ("a/b", "a%2Fb"),
            ("é", "é"),
        ];
        for (id, expected) in cases {
            assert_eq!(file_name("agent id", id).unwrap(), expected);
        }
        assert!(file_name("agent id", &"x".repeat(255)).is_ok());
        assert!(file_name("agent id", &"/".repeat(128)).is_err());
    }

    #[test]
    fn addresses_are_no_options() {
        assert!(check_url("--upload-pack=evil").is_err());
        assert!(check_url("/srv/a.git").is_ok());
        let error = check_url("-https://u:secret-pw@h/").unwrap_err();
        assert!(!error.to_string().contains("secret-pw"));
    }
}
