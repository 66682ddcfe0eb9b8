//! A panic is what P12 forbids: it is told as any other failure, and is not the end of who looks for one.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Does something that may panic. Whatever it was amid is to be thrown away then, or only to be read.
pub(crate) fn caught<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|thrown| Err(format!("P12: panic: {}", message(&*thrown))))
}

fn message(thrown: &(dyn Any + Send)) -> &str {
    let text = thrown.downcast_ref::<&str>().copied();
    let made = || thrown.downcast_ref::<String>().map(String::as_str);
    text.or_else(made).unwrap_or("it says nothing")
}
