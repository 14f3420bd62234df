// SPDX-License-Identifier: GPL-2.0

//! Functions for C.

/// Defines functions for C, each with the signature of its declaration in a header: that of
/// bindgen is the other element of an array (7.x: `#[export]`, which knows only the kernel
/// crate's own bindings).
macro_rules! export {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),*) $(-> $ret:ty)? $body:block)*) => {
        $($(#[$doc])*
        #[no_mangle]
        unsafe extern "C" fn $name($($arg: $type),*) $(-> $ret)? $body
        const _: () = {
            let _ = if true { bindings::$name } else { $name };
        };)*
    };
}
