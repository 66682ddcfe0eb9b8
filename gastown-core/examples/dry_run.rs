//! The dry-run tool (spec 8.3): one request a line from standard input, one answer a line to
//! standard output. The exit status is 1 if a line was bad.
//!
//! ```sh
//! cargo run -q -p gastown-core --example dry_run < requests.jsonl
//! ```

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    match answer_all(io::stdin().lock(), io::stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        // Whoever reads has gone; that is no failure of ours.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dry_run: {error}");
            ExitCode::from(2)
        }
    }
}

/// Answers every line; says whether all were good.
fn answer_all(mut input: impl BufRead, mut output: impl Write) -> io::Result<bool> {
    let mut all_good = true;
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        if !text.trim().is_empty() {
            match gastown_core::dry_run(text.trim()) {
                Ok(answer) => writeln!(output, "{answer}")?,
                Err(error) => {
                    all_good = false;
                    let error = serde_json::json!({
                        "error": {"path": error.path, "message": error.message}
                    });
                    writeln!(output, "{error}")?;
                }
            }
            output.flush()?;
        }
        line.clear();
    }
    Ok(all_good)
}
