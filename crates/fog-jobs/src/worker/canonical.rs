//! Makes the bits of NaNs the same everywhere, where a program can see them.
//!
//! WASM leaves sign and payload of a NaN that an operation produces to the processor, and x86 and ARM differ. Cranelift can
//! make every operation's NaN canonical, at several times the cost of numeric code. But bits are only seen where a float
//! leaves the world of floats: when it is stored, reinterpreted, or gives its sign to another. There, and only there, a NaN
//! is replaced by the canonical one. Vectors do not say what they hold when they are stored, so for them the operations
//! themselves are corrected. It is done on the module, before either engine sees it.
//!
//! The price: a NaN's payload does not survive being copied as a float. Programs that hide data in NaNs must copy it
//! as integers, or run without the deterministic mode.

use std::convert::Infallible;
use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{CodeSection, Function, Instruction, Module, ValType};
use wasmparser::{FunctionBody, Operator, Parser, Payload, TypeRef};

const NAN32: u32 = 0x7fc0_0000;
const NAN64: u64 = 0x7ff8_0000_0000_0000;

/// Rewrites a valid module. What cannot be read is given back as it is: the engine says what is wrong with it.
pub(super) fn canonical(module: Vec<u8>) -> Vec<u8> {
    let Some(params) = params(&module) else { return module };
    let mut rewriter = Rewriter { params, next: 0 };
    let mut out = Module::new();
    match utils::parse_core_module(&mut rewriter, &mut out, Parser::new(0), &module) {
        Ok(()) => out.finish(),
        Err(_) => module,
    }
}

/// For each function with a body: how many parameters it has.
fn params(module: &[u8]) -> Option<Vec<u32>> {
    let mut types = Vec::new();
    let mut functions = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload.ok()? {
            Payload::TypeSection(section) => {
                for group in section {
                    for ty in group.ok()?.into_types() {
                        types.push(match ty.composite_type.inner {
                            wasmparser::CompositeInnerType::Func(ty) => ty.params().len() as u32,
                            _ => 0,
                        });
                    }
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    // Only to be sure that it can be read.
                    let _: TypeRef = import.ok()?.ty;
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    functions.push(*types.get(ty.ok()? as usize)?);
                }
            }
            _ => {}
        }
    }
    Some(functions)
}

struct Rewriter {
    params: Vec<u32>,
    next: usize,
}

/// Locals to hold a float while it is looked at.
#[derive(Clone, Copy)]
struct Held {
    f32: u32,
    f64: u32,
    v128: u32,
}

impl Reencode for Rewriter {
    type Error = Infallible;

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), Error<Infallible>> {
        let mut locals = Vec::new();
        let mut count = self.params.get(self.next).copied().unwrap_or(0);
        self.next += 1;
        for local in body.get_locals_reader()? {
            let (number, ty) = local?;
            count = count.saturating_add(number);
            locals.push((number, self.val_type(ty)?));
        }
        // An absurd count is refused by the engine.
        let held = Held { f32: count, f64: count.saturating_add(1), v128: count.saturating_add(2) };
        locals.extend([(1, ValType::F32), (1, ValType::F64), (1, ValType::V128)]);
        let mut function = Function::new(locals);
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let operator = operators.read()?;
            let (before, after) = place(&operator);
            correct(&mut function, before, held);
            function.instruction(&self.instruction(operator)?);
            correct(&mut function, after, held);
        }
        code.function(&function);
        Ok(())
    }
}

/// What on top of the operand stack must be corrected.
#[derive(Clone, Copy, PartialEq)]
enum Float {
    No,
    F32,
    F64,
    F32x4,
    F64x2,
}

/// What to correct before an operator, and what after it.
fn place(operator: &Operator<'_>) -> (Float, Float) {
    use Operator as O;
    match operator {
        O::F32Store { .. } | O::I32ReinterpretF32 | O::F32Copysign => (Float::F32, Float::No),
        O::F64Store { .. } | O::I64ReinterpretF64 | O::F64Copysign => (Float::F64, Float::No),
        O::F32x4Splat => (Float::F32, Float::No),
        O::F64x2Splat => (Float::F64, Float::No),
        O::F32x4ReplaceLane { .. } => (Float::F32, Float::No),
        O::F64x2ReplaceLane { .. } => (Float::F64, Float::No),
        O::F32x4Ceil
        | O::F32x4Floor
        | O::F32x4Trunc
        | O::F32x4Nearest
        | O::F32x4Sqrt
        | O::F32x4Add
        | O::F32x4Sub
        | O::F32x4Mul
        | O::F32x4Div
        | O::F32x4Min
        | O::F32x4Max
        | O::F32x4DemoteF64x2Zero
        | O::F32x4RelaxedMadd
        | O::F32x4RelaxedNmadd
        | O::F32x4RelaxedMin
        | O::F32x4RelaxedMax => (Float::No, Float::F32x4),
        O::F64x2Ceil
        | O::F64x2Floor
        | O::F64x2Trunc
        | O::F64x2Nearest
        | O::F64x2Sqrt
        | O::F64x2Add
        | O::F64x2Sub
        | O::F64x2Mul
        | O::F64x2Div
        | O::F64x2Min
        | O::F64x2Max
        | O::F64x2PromoteLowF32x4
        | O::F64x2RelaxedMadd
        | O::F64x2RelaxedNmadd
        | O::F64x2RelaxedMin
        | O::F64x2RelaxedMax => (Float::No, Float::F64x2),
        _ => (Float::No, Float::No),
    }
}

/// Replaces a NaN on top of the operand stack by the canonical one.
fn correct(function: &mut Function, float: Float, held: Held) {
    use Instruction as I;
    let (local, nan, equal, choose) = match float {
        Float::No => return,
        Float::F32 => (held.f32, I::F32Const(f32::from_bits(NAN32).into()), I::F32Eq, I::Select),
        Float::F64 => (held.f64, I::F64Const(f64::from_bits(NAN64).into()), I::F64Eq, I::Select),
        Float::F32x4 => {
            let lanes = (0..4).fold(0u128, |all, lane| all | u128::from(NAN32) << (32 * lane));
            (held.v128, I::V128Const(lanes as i128), I::F32x4Eq, I::V128Bitselect)
        }
        Float::F64x2 => {
            let lanes = u128::from(NAN64) << 64 | u128::from(NAN64);
            (held.v128, I::V128Const(lanes as i128), I::F64x2Eq, I::V128Bitselect)
        }
    };
    // x, NaN, x == x, choose: only a NaN differs from itself.
    function.instruction(&I::LocalTee(local));
    function.instruction(&nan);
    function.instruction(&I::LocalGet(local));
    function.instruction(&I::LocalGet(local));
    function.instruction(&equal);
    function.instruction(&choose);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `main` of a module in wasmi and gives back its 64 bits.
    fn bits(module: &[u8]) -> u64 {
        let engine = wasmi::Engine::default();
        let module = wasmi::Module::new(&engine, module).unwrap();
        let mut store = wasmi::Store::new(&engine, ());
        let instance = wasmi::Linker::<()>::new(&engine).instantiate_and_start(&mut store, &module).unwrap();
        instance.get_typed_func::<(), i64>(&store, "main").unwrap().call(&mut store, ()).unwrap() as u64
    }

    #[test]
    fn seen_nans_are_canonical_and_numbers_are_not_touched() {
        let cases = [
            ("(i64.reinterpret_f64 (f64.const -nan:0x4000000001))", NAN64),
            ("(i64.reinterpret_f64 (f64.const -1.5))", (-1.5f64).to_bits()),
            ("(i64.reinterpret_f64 (f64.const -0.0))", (-0.0f64).to_bits()),
            ("(i64.extend_i32_u (i32.reinterpret_f32 (f32.const -nan)))", u64::from(NAN32)),
            ("(f64.store (i32.const 8) (f64.neg (f64.const nan))) (i64.load (i32.const 8))", NAN64),
            ("(i64.reinterpret_f64 (f64.copysign (f64.const 2) (f64.const -nan)))", 2f64.to_bits()),
            ("(i64x2.extract_lane 1 (f64x2.add (v128.const f64x2 1 -nan) (v128.const f64x2 1 1)))", NAN64),
            (
                "(i64x2.extract_lane 0 (f64x2.add (v128.const f64x2 1 -nan) (v128.const f64x2 1 1)))",
                2f64.to_bits(),
            ),
            (
                "(i64x2.extract_lane 0 (f32x4.mul (v128.const f32x4 -nan 2 1 1) (v128.const f32x4 1 3 1 1)))",
                u64::from(6f32.to_bits()) << 32 | u64::from(NAN32),
            ),
        ];
        for (body, expected) in cases {
            let text = format!(r#"(module (memory 1) (func (export "main") (result i64) {body}))"#);
            let module = canonical(wat::parse_str(&text).unwrap());
            wasmparser::validate(&module).unwrap();
            assert_eq!(bits(&module), expected, "{body}");
        }
    }

    #[test]
    fn what_is_no_module_stays_as_it_is() {
        assert_eq!(canonical(b"rubbish".to_vec()), b"rubbish");
    }
}
