//! Puts the rewritten module together.

use super::calls::{self, Calls};
use super::emit::{Added, IMPORTS, Pair, Shift, emit, unforeseen};
use super::summary::Summary;
use super::{FLAG_GLOBAL, GLOBAL_PREFIX, IMPORT_MODULE, MARK, PrepareError, Prepared, STATE_GLOBAL, tree};
use std::borrow::Cow;
use std::collections::BTreeMap;
use wasm_encoder::reencode::{Reencode, utils};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, CustomSection, DataCountSection, DataSection, ElementSection,
    EntityType, ExportKind, ExportSection, FunctionSection, GlobalSection, GlobalType, ImportSection,
    MemorySection, Module, TableSection, TypeSection, ValType,
};
use wasmparser::Payload;

type Result<T> = std::result::Result<T, PrepareError>;

pub(super) fn assemble(summary: &Summary<'_>) -> Result<Prepared> {
    let calls = calls::analyse(summary);
    let mut writer = Writer::new(summary, &calls);
    let mut module = Module::new();
    let (code, second_types) = writer.code()?;
    module.section(&writer.types()?);
    module.section(&writer.imports()?);
    module.section(&writer.functions(&second_types));
    writer.copied(&mut module, |payload| {
        matches!(payload, Payload::TableSection(_) | Payload::MemorySection(_))
    })?;
    module.section(&writer.globals()?);
    module.section(&writer.exports()?);
    writer.copied(&mut module, |payload| {
        matches!(payload, Payload::ElementSection(_) | Payload::DataCountSection { .. })
    })?;
    module.section(&code);
    writer.copied(&mut module, |payload| {
        matches!(payload, Payload::DataSection(_) | Payload::CustomSection(_))
    })?;
    module.section(&CustomSection { name: Cow::Borrowed(MARK), data: Cow::Borrowed(&[1]) });
    let module = module.finish();
    wasmparser::Validator::new_with_features(wasmparser::WasmFeatures::all())
        .validate_all(&module)
        .map_err(|e| PrepareError::Cannot(format!("the rewriting went wrong ({e})")))?;
    Ok(Prepared { module, rewritten: calls.rewritten.len() as u32, functions: summary.bodies.len() as u32 })
}

struct Writer<'s, 'a> {
    summary: &'s Summary<'a>,
    calls: &'s Calls,
    shift: Shift,
    added: Added,
    /// Types `[] -> results` of blocks with several results, by results.
    blocks: BTreeMap<Vec<String>, (u32, Vec<ValType>)>,
}

impl<'s, 'a> Writer<'s, 'a> {
    fn new(summary: &'s Summary<'a>, calls: &'s Calls) -> Self {
        let imported = summary.imported;
        let added = Added {
            imported,
            poll: imported,
            push: imported + 1,
            pop: imported + 2,
            state: summary.globals,
            flag: summary.globals + 1,
        };
        Self { summary, calls, shift: Shift { imported }, added, blocks: BTreeMap::new() }
    }

    /// Types of the three added imports: the first is `poll`'s.
    fn added_types(&self) -> u32 {
        self.summary.types.len() as u32
    }

    /// All functions, rewritten or not, then the second copies; with the types of these.
    fn code(&mut self) -> Result<(CodeSection, Vec<u32>)> {
        let (summary, calls) = (self.summary, self.calls);
        let mut code = CodeSection::new();
        let (mut seconds, mut types) = (Vec::new(), Vec::new());
        let mut next = summary.functions.len() as u32 + IMPORTS;
        for (body, function) in summary.bodies.iter().zip(summary.imported..) {
            if !calls.rewritten.contains(&function) {
                self.shift.parse_function_body(&mut code, body.body.clone()).map_err(|e| unforeseen(&e))?;
                continue;
            }
            let tree = tree::grow(summary, calls, body, function)?;
            let results = self.block_type(&tree.results)?;
            let Pair { running, second } = emit(&tree, self.added, results, function, next)?;
            code.function(&running);
            seconds.push(second);
            types.push(summary.functions[function as usize]);
            next += 1;
        }
        for second in &seconds {
            code.function(second);
        }
        Ok((code, types))
    }

    fn block_type(&mut self, results: &[wasmparser::ValType]) -> Result<BlockType> {
        let mut types = Vec::new();
        for ty in results {
            types.push(self.shift.val_type(*ty).map_err(|e| unforeseen(&e))?);
        }
        if types.iter().any(|ty| matches!(ty, ValType::Ref(_))) {
            return Err(PrepareError::Cannot("a function returns a reference".into()));
        }
        Ok(match types[..] {
            [] => BlockType::Empty,
            [one] => BlockType::Result(one),
            _ => {
                let name = types.iter().map(|ty| format!("{ty:?}")).collect();
                let next = self.added_types() + IMPORTS + self.blocks.len() as u32;
                BlockType::FunctionType(self.blocks.entry(name).or_insert((next, types)).0)
            }
        })
    }

    fn types(&mut self) -> Result<TypeSection> {
        let mut types = TypeSection::new();
        for payload in &self.summary.payloads {
            if let Payload::TypeSection(section) = payload {
                self.shift.parse_type_section(&mut types, section.clone()).map_err(|e| unforeseen(&e))?;
            }
        }
        types.ty().function([], []);
        types.ty().function([ValType::I64], []);
        types.ty().function([], [ValType::I64]);
        let mut blocks: Vec<_> = self.blocks.values().collect();
        blocks.sort_unstable_by_key(|(index, _)| *index);
        for (_, results) in blocks {
            types.ty().function([], results.iter().copied());
        }
        Ok(types)
    }

    fn imports(&mut self) -> Result<ImportSection> {
        let mut imports = ImportSection::new();
        for payload in &self.summary.payloads {
            if let Payload::ImportSection(section) = payload {
                self.shift.parse_import_section(&mut imports, section.clone()).map_err(|e| unforeseen(&e))?;
            }
        }
        for (name, ty) in ["poll", "push", "pop"].into_iter().zip(self.added_types()..) {
            imports.import(IMPORT_MODULE, name, EntityType::Function(ty));
        }
        Ok(imports)
    }

    fn functions(&self, seconds: &[u32]) -> FunctionSection {
        let mut functions = FunctionSection::new();
        let own = &self.summary.functions[self.summary.imported as usize..];
        for ty in own.iter().chain(seconds) {
            functions.function(*ty);
        }
        functions
    }

    fn globals(&mut self) -> Result<GlobalSection> {
        let mut globals = GlobalSection::new();
        for payload in &self.summary.payloads {
            if let Payload::GlobalSection(section) = payload {
                self.shift.parse_global_section(&mut globals, section.clone()).map_err(|e| unforeseen(&e))?;
            }
        }
        for _ in [STATE_GLOBAL, FLAG_GLOBAL] {
            let ty = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
            globals.global(ty, &ConstExpr::i32_const(0));
        }
        Ok(globals)
    }

    fn exports(&mut self) -> Result<ExportSection> {
        let mut exports = ExportSection::new();
        for payload in &self.summary.payloads {
            if let Payload::ExportSection(section) = payload {
                self.shift.parse_export_section(&mut exports, section.clone()).map_err(|e| unforeseen(&e))?;
            }
        }
        exports.export(STATE_GLOBAL, ExportKind::Global, self.added.state);
        exports.export(FLAG_GLOBAL, ExportKind::Global, self.added.flag);
        for global in &self.summary.mutable {
            exports.export(&format!("{GLOBAL_PREFIX}{global}"), ExportKind::Global, *global);
        }
        Ok(exports)
    }

    /// Sections that only have their function indices moved.
    fn copied(&mut self, module: &mut Module, wanted: impl Fn(&Payload<'a>) -> bool) -> Result<()> {
        for payload in self.summary.payloads.iter().filter(|payload| wanted(payload)) {
            self.copy(module, payload).map_err(|e| unforeseen(&e))?;
        }
        Ok(())
    }

    fn copy(
        &mut self,
        module: &mut Module,
        payload: &Payload<'a>,
    ) -> std::result::Result<(), wasm_encoder::reencode::Error<PrepareError>> {
        match payload {
            Payload::TableSection(section) => {
                let mut tables = TableSection::new();
                self.shift.parse_table_section(&mut tables, section.clone())?;
                module.section(&tables);
            }
            Payload::MemorySection(section) => {
                let mut memories = MemorySection::new();
                self.shift.parse_memory_section(&mut memories, section.clone())?;
                module.section(&memories);
            }
            Payload::ElementSection(section) => {
                let mut elements = ElementSection::new();
                self.shift.parse_element_section(&mut elements, section.clone())?;
                module.section(&elements);
            }
            Payload::DataCountSection { count, .. } => {
                module.section(&DataCountSection { count: *count });
            }
            Payload::DataSection(section) => {
                let mut data = DataSection::new();
                self.shift.parse_data_section(&mut data, section.clone())?;
                module.section(&data);
            }
            // Debug information would point to the wrong places.
            Payload::CustomSection(section) if section.name().starts_with(".debug") => {}
            Payload::CustomSection(section) => {
                utils::parse_custom_section(&mut self.shift, module, section.clone())?;
            }
            _ => {}
        }
        Ok(())
    }
}
