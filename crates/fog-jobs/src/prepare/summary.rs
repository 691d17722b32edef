//! Reads a module: its sections as they are, and what the rewriting must know of them.

use super::{IMPORT_MODULE, MARK, PrepareError};
use std::collections::BTreeSet;
use wasmparser::{
    CompositeInnerType, ElementItems, ExternalKind, FuncType, FuncValidator, FuncValidatorAllocations,
    FunctionBody, Operator, Parser, Payload, TypeRef, ValidPayload, Validator, ValidatorResources,
    WasmFeatures,
};

/// Imports that may put the stack away besides `poll`: the one in which a program waits.
const WAITS: (&str, &str) = ("wasi_snapshot_preview1", "poll_oneoff");

/// A module and what matters of it.
pub(super) struct Summary<'a> {
    /// All sections in order, without the bodies' own payloads.
    pub(super) payloads: Vec<Payload<'a>>,
    pub(super) types: Vec<FuncType>,
    /// For each function, imported ones first: its type.
    pub(super) functions: Vec<u32>,
    pub(super) imported: u32,
    /// Imported functions that may put the stack away.
    pub(super) waits: BTreeSet<u32>,
    /// Functions that `call_indirect` may reach.
    pub(super) addressed: BTreeSet<u32>,
    /// Mutable globals.
    pub(super) mutable: Vec<u32>,
    pub(super) globals: u32,
    pub(super) bodies: Vec<Body<'a>>,
}

/// A function's body with its validator, which knows the types on the operand stack.
pub(super) struct Body<'a> {
    pub(super) body: FunctionBody<'a>,
    pub(super) calls: BTreeSet<u32>,
    pub(super) indirect: BTreeSet<u32>,
    pub(super) loops: bool,
    validate: wasmparser::FuncToValidate<ValidatorResources>,
}

impl<'a> Body<'a> {
    pub(super) fn validator(&self) -> FuncValidator<ValidatorResources> {
        let parts = wasmparser::FuncToValidate {
            resources: self.validate.resources.clone(),
            index: self.validate.index,
            ty: self.validate.ty,
            features: self.validate.features,
        };
        parts.into_validator(FuncValidatorAllocations::default())
    }
}

impl Summary<'_> {
    pub(super) fn type_of(&self, function: u32) -> &FuncType {
        &self.types[self.functions[function as usize] as usize]
    }

    pub(super) fn is_import(&self, function: u32) -> bool {
        function < self.imported
    }
}

fn features() -> WasmFeatures {
    WasmFeatures::WASM2 | WasmFeatures::RELAXED_SIMD | WasmFeatures::EXTENDED_CONST
}

fn cannot(reason: impl Into<String>) -> PrepareError {
    PrepareError::Cannot(reason.into())
}

pub(super) fn malformed(error: &wasmparser::Error) -> PrepareError {
    PrepareError::NotWasm(error.to_string())
}

/// Reads and checks a module.
pub(super) fn read(bytes: &[u8]) -> Result<Summary<'_>, PrepareError> {
    if Parser::is_component(bytes) {
        return Err(cannot("it is a component; build it for wasm32-wasip1 instead"));
    }
    // Told apart, so that "not WASM" and "too new to be moved" are different messages.
    Validator::new_with_features(WasmFeatures::all()).validate_all(bytes).map_err(|e| malformed(&e))?;
    let mut validator = Validator::new_with_features(features());
    let mut summary = Summary {
        payloads: Vec::new(),
        types: Vec::new(),
        functions: Vec::new(),
        imported: 0,
        waits: BTreeSet::new(),
        addressed: BTreeSet::new(),
        mutable: Vec::new(),
        globals: 0,
        bodies: Vec::new(),
    };
    let (mut start, mut memory) = (false, false);
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|e| malformed(&e))?;
        let valid = validator.payload(&payload).map_err(|e| cannot(e.message().to_owned()))?;
        match &payload {
            Payload::TypeSection(section) => read_types(section.clone(), &mut summary)?,
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    read_import(&import.map_err(|e| malformed(&e))?, &mut summary)?;
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section.clone() {
                    summary.functions.push(ty.map_err(|e| malformed(&e))?);
                }
            }
            Payload::GlobalSection(section) => {
                for global in section.clone() {
                    let global = global.map_err(|e| malformed(&e))?;
                    if global.ty.mutable {
                        if matches!(global.ty.content_type, wasmparser::ValType::Ref(_)) {
                            return Err(cannot("a mutable global holds a reference"));
                        }
                        summary.mutable.push(summary.globals);
                    }
                    collect_refs(global.init_expr.get_operators_reader(), &mut summary.addressed)?;
                    summary.globals += 1;
                }
            }
            Payload::ExportSection(section) => {
                for export in section.clone() {
                    let export = export.map_err(|e| malformed(&e))?;
                    if export.name.starts_with("fog:") {
                        return Err(cannot(format!("its export `{}` has a name that is ours", export.name)));
                    }
                    start |= export.name == "_start" && export.kind == ExternalKind::Func;
                    memory |= export.name == "memory" && export.kind == ExternalKind::Memory;
                }
            }
            Payload::StartSection { .. } => return Err(cannot("it has a start function besides `_start`")),
            Payload::ElementSection(section) => {
                for element in section.clone() {
                    match element.map_err(|e| malformed(&e))?.items {
                        ElementItems::Functions(functions) => {
                            for function in functions {
                                summary.addressed.insert(function.map_err(|e| malformed(&e))?);
                            }
                        }
                        ElementItems::Expressions(_, expressions) => {
                            for expression in expressions {
                                let expression = expression.map_err(|e| malformed(&e))?;
                                collect_refs(expression.get_operators_reader(), &mut summary.addressed)?;
                            }
                        }
                    }
                }
            }
            Payload::CustomSection(section) if section.name() == MARK => return Err(PrepareError::Already),
            _ => {}
        }
        if let ValidPayload::Func(validate, body) = valid {
            let mut read =
                Body { body, calls: BTreeSet::new(), indirect: BTreeSet::new(), loops: false, validate };
            read_body(&mut read, &mut summary.addressed)?;
            summary.bodies.push(read);
        } else {
            summary.payloads.push(payload);
        }
    }
    if !start {
        return Err(cannot("it has no `_start`: build it as a WASI command (wasm32-wasip1)"));
    }
    if !memory {
        return Err(cannot("it exports no `memory`"));
    }
    Ok(summary)
}

fn read_types(
    section: wasmparser::TypeSectionReader<'_>,
    summary: &mut Summary<'_>,
) -> Result<(), PrepareError> {
    for group in section {
        for ty in group.map_err(|e| malformed(&e))?.into_types() {
            match ty.composite_type.inner {
                CompositeInnerType::Func(func) => summary.types.push(func),
                _ => return Err(cannot("it uses garbage-collected types")),
            }
        }
    }
    Ok(())
}

fn read_import(import: &wasmparser::Import<'_>, summary: &mut Summary<'_>) -> Result<(), PrepareError> {
    if import.module == IMPORT_MODULE {
        return Err(cannot(format!("it imports `{IMPORT_MODULE}.{}`, a name that is ours", import.name)));
    }
    match import.ty {
        TypeRef::Func(ty) => {
            if (import.module, import.name) == WAITS {
                summary.waits.insert(summary.imported);
            }
            summary.functions.push(ty);
            summary.imported += 1;
            Ok(())
        }
        _ => Err(cannot(format!("it imports `{}.{}`, which is no function", import.module, import.name))),
    }
}

fn collect_refs(
    mut operators: wasmparser::OperatorsReader<'_>,
    into: &mut BTreeSet<u32>,
) -> Result<(), PrepareError> {
    while !operators.eof() {
        if let Operator::RefFunc { function_index } = operators.read().map_err(|e| malformed(&e))? {
            into.insert(function_index);
        }
    }
    Ok(())
}

fn read_body(read: &mut Body<'_>, addressed: &mut BTreeSet<u32>) -> Result<(), PrepareError> {
    let mut validator = read.validator();
    validator.validate(&read.body).map_err(|e| cannot(e.message().to_owned()))?;
    let mut operators = read.body.get_operators_reader().map_err(|e| malformed(&e))?;
    while !operators.eof() {
        match operators.read().map_err(|e| malformed(&e))? {
            Operator::Call { function_index } => drop(read.calls.insert(function_index)),
            Operator::CallIndirect { type_index, .. } => drop(read.indirect.insert(type_index)),
            Operator::Loop { .. } => read.loops = true,
            Operator::RefFunc { function_index } => drop(addressed.insert(function_index)),
            Operator::TableSet { .. }
            | Operator::TableGrow { .. }
            | Operator::TableFill { .. }
            | Operator::TableCopy { .. }
            | Operator::TableInit { .. }
            | Operator::ElemDrop { .. } => return Err(cannot("it changes its tables while it runs")),
            _ => {}
        }
    }
    Ok(())
}
