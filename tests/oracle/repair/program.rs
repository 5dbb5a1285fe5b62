// A program that uses what an edit could break.
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};

#[link(name = "greet")]
unsafe extern "C" {
    fn greet() -> *const c_char;
    fn counted() -> c_int;
}
unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

thread_local!(static MINE: Cell<i32> = const { Cell::new(7) });

#[inline(never)]
fn a_function_that_panics() {
    panic!("on purpose");
}

fn main() {
    println!("greet: {}", unsafe { CStr::from_ptr(greet()) }.to_str().unwrap());
    std::thread::spawn(|| {
        MINE.set(8);
        println!("there: {} {}", MINE.get(), unsafe { counted() });
    })
    .join()
    .unwrap();
    println!("here: {} {}", MINE.get(), unsafe { counted() });
    std::panic::set_hook(Box::new(|info| {
        let trace = Backtrace::force_capture().to_string();
        println!("panic: {}, named in the backtrace: {}", info, trace.contains("a_function_that_panics"));
    }));
    assert!(std::panic::catch_unwind(a_function_that_panics).is_err());
    let plugin = unsafe { dlopen(c"libplugin.so".as_ptr(), 2) };
    assert!(!plugin.is_null());
    let name = unsafe { dlsym(plugin, c"plugin".as_ptr()) };
    let name: extern "C" fn() -> *const c_char = unsafe { std::mem::transmute(name) };
    println!("plugin: {}", unsafe { CStr::from_ptr(name()) }.to_str().unwrap());
}
