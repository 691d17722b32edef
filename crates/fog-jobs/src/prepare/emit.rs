//! Writes a function's two copies: the one that runs, and the one that takes a frame up again.
//!
//! ```text
//!   running copy                                    second copy
//!   if state == 2 { return second copy }            pop the frame into the locals; `cut` is where to go
//!   block $away                                     block $away
//!     block $body                                     block $body
//!       ... each cut:                                   ... the same, and at the head of each sequence with cuts
//!         call f                                            a dispatch: forward to the child that holds `cut`
//!         if state { cut = N; br $away }
//!     return                                          return
//!   push all locals, `cut`, the function's number; return anything
//! ```

use super::PrepareError;
use super::tree::{Child, Item, Sequence, Slot, Tree, What};
use std::ops::Range;
use wasm_encoder::reencode::Reencode;
use wasm_encoder::{BlockType, Function, Instruction, ValType};
use wasmparser::Operator;

/// The indices of what is added to the module, and the number of the functions that were imported before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Added {
    pub(super) imported: u32,
    pub(super) poll: u32,
    pub(super) push: u32,
    pub(super) pop: u32,
    pub(super) state: u32,
    pub(super) flag: u32,
}

/// How many functions are imported besides.
pub(super) const IMPORTS: u32 = 3;

/// Moves function indices behind the added imports.
pub(super) struct Shift {
    pub(super) imported: u32,
}

impl Reencode for Shift {
    type Error = PrepareError;

    fn function_index(&mut self, func: u32) -> Result<u32, wasm_encoder::reencode::Error<PrepareError>> {
        Ok(if func < self.imported { func } else { func + IMPORTS })
    }
}

pub(super) fn unforeseen(error: &wasm_encoder::reencode::Error<PrepareError>) -> PrepareError {
    PrepareError::Cannot(error.to_string())
}

/// A function's two copies.
pub(super) struct Pair {
    pub(super) running: Function,
    pub(super) second: Function,
}

/// `results` is the block type of the function's results; `number` the function's number in frames, `second` the index
/// of its second copy.
pub(super) fn emit(
    tree: &Tree<'_>,
    added: Added,
    results: BlockType,
    number: u32,
    second: u32,
) -> Result<Pair, PrepareError> {
    let mut locals = Vec::new();
    for ty in &tree.locals {
        locals.push(Shift { imported: 0 }.val_type(*ty).map_err(|e| unforeseen(&e))?);
    }
    if locals.iter().any(|ty| matches!(ty, ValType::Ref(_))) {
        return Err(PrepareError::Cannot("a function holds references in locals".into()));
    }
    let write = |resumes: bool| -> Result<Function, PrepareError> {
        let mut own: Vec<(u32, ValType)> = locals[tree.params..].iter().map(|ty| (1, *ty)).collect();
        own.push((1, ValType::I32));
        let mut emitter = Emitter {
            out: Function::new(own),
            shift: Shift { imported: added.imported },
            tree,
            added,
            cut: locals.len() as u32,
            resumes,
            depth: 0,
            labels: Vec::new(),
            inner: 0,
        };
        if resumes {
            emitter.restore(&locals, number);
        } else {
            emitter.delegate(second);
        }
        emitter.whole(results)?;
        emitter.save(&locals, number, &tree.results);
        Ok(emitter.out)
    };
    Ok(Pair { running: write(false)?, second: write(true)? })
}

struct Emitter<'t, 'a> {
    out: Function,
    shift: Shift,
    tree: &'t Tree<'a>,
    added: Added,
    /// The local that holds the number of the cut.
    cut: u32,
    resumes: bool,
    /// Labels open in what is written.
    depth: u32,
    /// For each label open in the original: how many were open in what is written when it began.
    labels: Vec<u32>,
    /// Plain blocks open inside a run of operators.
    inner: u32,
}

impl<'a> Emitter<'_, 'a> {
    fn put(&mut self, instruction: &Instruction<'_>) {
        self.out.instruction(instruction);
    }

    fn open(&mut self, instruction: &Instruction<'_>) {
        self.put(instruction);
        self.depth += 1;
    }

    fn close(&mut self) {
        self.put(&Instruction::End);
        self.depth -= 1;
    }

    /// The running copy's first words.
    fn delegate(&mut self, second: u32) {
        self.put(&Instruction::GlobalGet(self.added.state));
        self.put(&Instruction::I32Const(2));
        self.put(&Instruction::I32Eq);
        self.put(&Instruction::If(BlockType::Empty));
        for param in 0..self.tree.params as u32 {
            self.put(&Instruction::LocalGet(param));
        }
        self.put(&Instruction::ReturnCall(second));
        self.put(&Instruction::End);
    }

    fn whole(&mut self, results: BlockType) -> Result<(), PrepareError> {
        let tree = self.tree;
        self.open(&Instruction::Block(BlockType::Empty));
        self.labels.push(self.depth);
        self.open(&Instruction::Block(results));
        self.sequence(&tree.root)?;
        self.close();
        self.labels.pop();
        self.put(&Instruction::Return);
        self.close();
        Ok(())
    }

    fn sequence(&mut self, sequence: &Sequence) -> Result<(), PrepareError> {
        let children: Vec<&Child> = sequence.children().collect();
        let dispatches = self.resumes && !children.is_empty();
        if dispatches {
            self.spill(&sequence.params);
            for _ in 0..=children.len() {
                self.open(&Instruction::Block(BlockType::Empty));
            }
            self.put(&Instruction::LocalGet(self.cut));
            self.put(&Instruction::I32Eqz);
            self.put(&Instruction::BrIf(0));
            for (index, child) in children.iter().enumerate().skip(1).rev() {
                self.put(&Instruction::LocalGet(self.cut));
                self.put(&Instruction::I32Const(child.cuts.start as i32));
                self.put(&Instruction::I32GeU);
                self.put(&Instruction::BrIf(index as u32 + 1));
            }
            self.put(&Instruction::Br(1));
            self.close();
            self.fill(&sequence.params);
        }
        for item in &sequence.items {
            match item {
                Item::Plain(range) => self.plain(range.clone())?,
                Item::Child(child) => {
                    self.spill(&child.stack);
                    if dispatches {
                        self.close();
                    }
                    self.fill(&child.stack);
                    self.child(child)?;
                }
            }
        }
        Ok(())
    }

    /// From the operand stack into the slots.
    fn spill(&mut self, stack: &[Slot]) {
        for slot in stack.iter().rev() {
            self.put(&Instruction::LocalSet(slot.0));
        }
    }

    /// From the slots onto the operand stack.
    fn fill(&mut self, stack: &[Slot]) {
        for slot in stack {
            self.put(&Instruction::LocalGet(slot.0));
        }
    }

    fn child(&mut self, child: &Child) -> Result<(), PrepareError> {
        match &child.what {
            What::Look => self.look(child.cuts.start),
            What::Call(at) => {
                self.arrived();
                let call = self.instruction(*at)?;
                self.put(&call);
                self.leave_if_asked(child.cuts.start);
            }
            What::Block { begin, body, otherwise } => self.block(*begin, body, otherwise.as_ref())?,
        }
        Ok(())
    }

    /// The place to go to is reached: from now on everything runs in order.
    fn arrived(&mut self) {
        if self.resumes {
            self.put(&Instruction::I32Const(0));
            self.put(&Instruction::LocalSet(self.cut));
        }
    }

    fn look(&mut self, cut: u32) {
        self.put(&Instruction::GlobalGet(self.added.flag));
        if self.resumes {
            self.put(&Instruction::LocalGet(self.cut));
            self.put(&Instruction::I32Or);
        }
        self.open(&Instruction::If(BlockType::Empty));
        self.arrived();
        self.put(&Instruction::Call(self.added.poll));
        self.leave_if_asked(cut);
        self.close();
    }

    /// After something that may have put the stack away.
    fn leave_if_asked(&mut self, cut: u32) {
        self.put(&Instruction::GlobalGet(self.added.state));
        self.open(&Instruction::If(BlockType::Empty));
        self.put(&Instruction::I32Const(cut as i32));
        self.put(&Instruction::LocalSet(self.cut));
        // `$away` is the outermost label.
        self.put(&Instruction::Br(self.depth - 1));
        self.close();
    }

    fn block(
        &mut self,
        begin: usize,
        body: &Sequence,
        otherwise: Option<&Sequence>,
    ) -> Result<(), PrepareError> {
        let is_if = matches!(self.tree.operators[begin], Operator::If { .. });
        if is_if && self.resumes {
            self.steer(cuts(body), otherwise.and_then(cuts));
        }
        let instruction = self.instruction(begin)?;
        self.labels.push(self.depth);
        self.open(&instruction);
        self.sequence(body)?;
        if let Some(otherwise) = otherwise {
            self.put(&Instruction::Else);
            self.sequence(otherwise)?;
        }
        self.close();
        self.labels.pop();
        Ok(())
    }

    /// Replaces the condition on the operand stack by the way to the cut, if one is looked for.
    fn steer(&mut self, then: Option<Range<u32>>, otherwise: Option<Range<u32>>) {
        self.put(&Instruction::I32Eqz);
        self.put(&Instruction::I32Eqz);
        if let Some(then) = then {
            self.is_within(&then);
            self.put(&Instruction::I32Or);
        }
        if let Some(otherwise) = otherwise {
            self.is_within(&otherwise);
            self.put(&Instruction::I32Eqz);
            self.put(&Instruction::I32And);
        }
    }

    fn is_within(&mut self, cuts: &Range<u32>) {
        self.put(&Instruction::LocalGet(self.cut));
        self.put(&Instruction::I32Const(cuts.start as i32));
        self.put(&Instruction::I32Sub);
        self.put(&Instruction::I32Const((cuts.end - cuts.start) as i32));
        self.put(&Instruction::I32LtU);
    }

    fn plain(&mut self, range: Range<usize>) -> Result<(), PrepareError> {
        for at in range {
            let instruction = self.instruction(at)?;
            match &self.tree.operators[at] {
                Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                    self.labels.push(self.depth);
                    self.inner += 1;
                    self.open(&instruction);
                }
                // The function's own last `end` is in no run.
                Operator::End if self.inner > 0 => {
                    self.inner -= 1;
                    self.close();
                    self.labels.pop();
                }
                _ => self.put(&instruction),
            }
        }
        Ok(())
    }

    /// The operator at `at` with its indices and labels as they are now.
    fn instruction(&mut self, at: usize) -> Result<Instruction<'a>, PrepareError> {
        let tree = self.tree;
        let operator = tree.operators[at].clone();
        let label = |depth: u32| -> Result<u32, PrepareError> {
            let index = self.labels.len().checked_sub(1 + depth as usize);
            let begun = index.and_then(|index| self.labels.get(index));
            begun
                .map(|begun| self.depth - 1 - begun)
                .ok_or_else(|| PrepareError::NotWasm("a branch leads nowhere".into()))
        };
        Ok(match operator {
            Operator::Br { relative_depth } => Instruction::Br(label(relative_depth)?),
            Operator::BrIf { relative_depth } => Instruction::BrIf(label(relative_depth)?),
            Operator::BrTable { targets } => {
                let mut table = Vec::new();
                for target in targets.targets() {
                    table.push(label(target.map_err(|e| super::summary::malformed(&e))?)?);
                }
                Instruction::BrTable(table.into(), label(targets.default())?)
            }
            other => self.shift.instruction(other).map_err(|e| unforeseen(&e))?,
        })
    }

    /// Puts the frame away and returns anything.
    fn save(&mut self, locals: &[ValType], number: u32, results: &[wasmparser::ValType]) {
        for (local, ty) in (0..).zip(locals) {
            let get = Instruction::LocalGet(local);
            let halves: &[&[Instruction<'_>]] = match ty {
                ValType::I32 => &[&[Instruction::I64ExtendI32U]],
                ValType::I64 | ValType::Ref(_) => &[&[]],
                ValType::F32 => &[&[Instruction::I32ReinterpretF32, Instruction::I64ExtendI32U]],
                ValType::F64 => &[&[Instruction::I64ReinterpretF64]],
                ValType::V128 => &[&[Instruction::I64x2ExtractLane(0)], &[Instruction::I64x2ExtractLane(1)]],
            };
            for half in halves {
                self.put(&get);
                half.iter().for_each(|instruction| self.put(instruction));
                self.put(&Instruction::Call(self.added.push));
            }
        }
        self.put(&Instruction::LocalGet(self.cut));
        self.put(&Instruction::I64ExtendI32U);
        self.put(&Instruction::Call(self.added.push));
        self.put(&Instruction::I64Const(i64::from(number)));
        self.put(&Instruction::Call(self.added.push));
        for ty in results {
            self.put(&match ty {
                wasmparser::ValType::I32 => Instruction::I32Const(0),
                wasmparser::ValType::I64 => Instruction::I64Const(0),
                wasmparser::ValType::F32 => Instruction::F32Const(0.0.into()),
                wasmparser::ValType::F64 => Instruction::F64Const(0.0.into()),
                wasmparser::ValType::V128 => Instruction::V128Const(0),
                // A reference as a result is refused when the type is looked at.
                wasmparser::ValType::Ref(_) => Instruction::Unreachable,
            });
        }
        self.put(&Instruction::End);
    }

    /// The reverse of [`save`](Self::save). A frame of another function is a damaged checkpoint.
    fn restore(&mut self, locals: &[ValType], number: u32) {
        let pop = Instruction::Call(self.added.pop);
        self.put(&pop);
        self.put(&Instruction::I64Const(i64::from(number)));
        self.put(&Instruction::I64Ne);
        self.put(&Instruction::If(BlockType::Empty));
        self.put(&Instruction::Unreachable);
        self.put(&Instruction::End);
        self.put(&pop);
        self.put(&Instruction::I32WrapI64);
        self.put(&Instruction::LocalSet(self.cut));
        for (local, ty) in (0..locals.len() as u32).zip(locals).rev() {
            match ty {
                ValType::V128 => {
                    // The high half was pushed last.
                    self.put(&pop);
                    self.put(&Instruction::I64x2Splat);
                    self.put(&pop);
                    self.put(&Instruction::I64x2ReplaceLane(0));
                }
                ValType::I32 => [&pop, &Instruction::I32WrapI64].into_iter().for_each(|i| self.put(i)),
                ValType::I64 | ValType::Ref(_) => self.put(&pop),
                ValType::F32 => [&pop, &Instruction::I32WrapI64, &Instruction::F32ReinterpretI32]
                    .into_iter()
                    .for_each(|i| self.put(i)),
                ValType::F64 => {
                    [&pop, &Instruction::F64ReinterpretI64].into_iter().for_each(|i| self.put(i));
                }
            }
            self.put(&Instruction::LocalSet(local));
        }
    }
}

/// The numbers of all cuts in a sequence.
fn cuts(sequence: &Sequence) -> Option<Range<u32>> {
    let first = sequence.children().next()?.cuts.start;
    let last = sequence.children().last()?.cuts.end;
    Some(first..last)
}
