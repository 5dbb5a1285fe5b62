//! A Lambda function that greets with a string from a C library.

use std::ffi::{CStr, c_char};

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

// `build.rs` says where the library is and how to link it.
unsafe extern "C" {
    safe fn greeting() -> *const c_char;
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(service_fn(hello)).await
}

/// Answers `{"name": "x"}` with the greeting of the C library and the target that this program was built for.
async fn hello(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let name = event.payload["name"].as_str().ok_or("the event has no `name`")?;
    // SAFETY: the library returns a string with a NUL at its end that lives as long as the program.
    let greeting = unsafe { CStr::from_ptr(greeting()) }.to_str()?;
    Ok(json!({
        "message": format!("hello, {name}"),
        "greeting": greeting,
        "target": env!("HELLO_TARGET"),
    }))
}
