//! A start function that can be interrupted.
//!
//! wasmi runs a module's start function in one go while it makes the instance, on what fuel there is. So the start function
//! is exported under a name of ours instead, to be called like any other before anything else is.

use std::borrow::Cow;
use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{ExportKind, ExportSection, Module, RawSection};
use wasmparser::{Parser, Payload};

/// The name of the export. A module that has one of this name, too, is refused as malformed.
pub(super) const EXPORT: &str = "fog:begin";

/// The module without its start section, and whether it had one. What cannot be read is given back as it is: the engine says
/// what is wrong with it.
pub(super) fn by_hand(bytes: &[u8]) -> (Cow<'_, [u8]>, bool) {
    match rewritten(bytes) {
        Some(bytes) => (Cow::Owned(bytes), true),
        None => (Cow::Borrowed(bytes), false),
    }
}

fn rewritten(bytes: &[u8]) -> Option<Vec<u8>> {
    let payloads = || Parser::new(0).parse_all(bytes).map_while(Result::ok);
    let start = payloads().find_map(|payload| match payload {
        Payload::StartSection { func, .. } => Some(func),
        _ => None,
    })?;
    let mut module = Module::new();
    let mut exported = false;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.ok()? {
            Payload::StartSection { .. } => {}
            Payload::ExportSection(section) => {
                let mut exports = ExportSection::new();
                RoundtripReencoder.parse_export_section(&mut exports, section).ok()?;
                exports.export(EXPORT, ExportKind::Func, start);
                module.section(&exports);
                exported = true;
            }
            other => {
                if let Some((id, range)) = other.as_section() {
                    module.section(&RawSection { id, data: bytes.get(range)? });
                }
            }
        }
    }
    // Without exports there is nothing to run.
    exported.then(|| module.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_function_becomes_an_export() {
        let text = r#"(module (memory 1) (global $g (mut i32) (i32.const 0)) (func $s (global.set $g (i32.const 7)))
            (start $s) (elem func $s) (data (i32.const 0) "x") (func (export "_start") (unreachable)))"#;
        let module = wat::parse_str(text).unwrap();
        let (bytes, begins) = by_hand(&module);
        assert!(begins);
        wasmparser::validate(&bytes).unwrap();
        let payloads: Vec<_> = Parser::new(0).parse_all(&bytes).map(Result::unwrap).collect();
        assert!(!payloads.iter().any(|payload| matches!(payload, Payload::StartSection { .. })));
        for text in ["(module)", r#"(module (func (export "_start")))"#] {
            let module = wat::parse_str(text).unwrap();
            assert_eq!(by_hand(&module), (Cow::Borrowed(&module[..]), false));
        }
        assert_eq!(by_hand(b"rubbish"), (Cow::Borrowed(&b"rubbish"[..]), false));
    }
}
