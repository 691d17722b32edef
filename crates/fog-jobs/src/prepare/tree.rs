//! A function's body as a tree of sequences, cut where its stack may be put away.
//!
//! A *cut* is such a place: a call, or the look at a loop's head. A block with cuts inside is itself a child of its
//! sequence; everything else is a run of operators that stays as it is. Before each child the operand stack is moved into
//! locals (*slots*), so that everything a frame holds is in locals. A slot is bound to a height of the operand stack
//! and a type; thus values that live at the same time never share one.

use super::calls::Calls;
use super::summary::{Body, Summary, malformed};
use super::{MAX_NESTING, PrepareError};
use std::collections::BTreeMap;
use std::ops::Range;
use wasmparser::{BlockType, Operator, ValType};

/// A local that holds what lay on the operand stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(pub(super) u32);

#[derive(Debug, Default)]
pub(super) struct Sequence {
    /// Parameters of the block, which lie on the operand stack at its beginning.
    pub(super) params: Vec<Slot>,
    pub(super) items: Vec<Item>,
}

#[derive(Debug)]
pub(super) enum Item {
    /// Operators without a cut.
    Plain(Range<usize>),
    Child(Child),
}

#[derive(Debug)]
pub(super) struct Child {
    /// The operand stack before it, above the sequence's own bottom.
    pub(super) stack: Vec<Slot>,
    /// Numbers of the cuts inside, from 1.
    pub(super) cuts: Range<u32>,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// A look at the flag.
    Look,
    /// The operator is a call.
    Call(usize),
    /// The operator begins a block.
    Block { begin: usize, body: Sequence, otherwise: Option<Sequence> },
}

/// A function to rewrite.
pub(super) struct Tree<'a> {
    pub(super) operators: Vec<Operator<'a>>,
    pub(super) root: Sequence,
    /// Types of all locals: parameters, the function's own, slots.
    pub(super) locals: Vec<ValType>,
    pub(super) params: usize,
    pub(super) results: Vec<ValType>,
}

impl Sequence {
    pub(super) fn children(&self) -> impl Iterator<Item = &Child> {
        self.items.iter().filter_map(|item| match item {
            Item::Child(child) => Some(child),
            Item::Plain(_) => None,
        })
    }

    fn plain(&mut self, at: usize) {
        match self.items.last_mut() {
            Some(Item::Plain(range)) if range.end == at => range.end += 1,
            _ => self.items.push(Item::Plain(at..at + 1)),
        }
    }
}

/// A block that is still open.
struct Open {
    begin: usize,
    /// The operand stack below its parameters, before it began.
    stack: Vec<Slot>,
    first_cut: u32,
    body: Sequence,
    /// Set once its `else` was met.
    then: Option<Sequence>,
    /// Nothing after an unconditional branch is ever run, nor kept.
    dead: bool,
    /// Began in dead code: only counted.
    ghost: bool,
}

pub(super) fn grow<'a>(
    summary: &Summary<'a>,
    calls: &Calls,
    body: &Body<'a>,
    function: u32,
) -> Result<Tree<'a>, PrepareError> {
    let ty = summary.type_of(function);
    let mut validator = body.validator();
    let mut reader = body.body.get_binary_reader();
    validator.read_locals(&mut reader).map_err(|e| malformed(&e))?;
    let mut locals = Vec::new();
    for index in 0..validator.len_locals() {
        locals.extend(validator.get_local_type(index));
    }
    let mut slots = Slots { map: BTreeMap::new(), locals };
    let mut operators = Vec::new();
    let mut cuts = 1u32;
    let mut open = vec![Open::new(0, Vec::new(), cuts)];
    if calls.recursive.contains(&function) {
        open[0].look(Vec::new(), &mut cuts);
    }
    let mut input = body.body.get_operators_reader().map_err(|e| malformed(&e))?;
    while !input.eof() {
        let (operator, offset) = input.read_with_offset().map_err(|e| malformed(&e))?;
        let at = operators.len();
        if open.len() > MAX_NESTING {
            return Err(PrepareError::Cannot(format!("it nests more than {MAX_NESTING} blocks")));
        }
        let innermost = open.last().ok_or_else(unbalanced)?;
        let dead = innermost.dead;
        // Before the operator takes anything from it.
        let cut = is_cut(summary, calls, &operator) && !dead;
        let opens = matches!(operator, Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. });
        let stack = if (cut || opens) && !dead { slots.stack(&validator)? } else { Vec::new() };
        match &operator {
            Operator::Block { blockty } | Operator::Loop { blockty } | Operator::If { blockty } => {
                let params = param_count(summary, *blockty);
                let condition = usize::from(matches!(operator, Operator::If { .. }));
                let mut child = Open::new(at, stack.clone(), cuts);
                child.ghost = dead;
                child.dead = dead;
                if !dead {
                    let below = stack.len() - condition;
                    child.body.params = stack[below - params..below].to_vec();
                    if matches!(operator, Operator::Loop { .. }) {
                        child.look(child.body.params.clone(), &mut cuts);
                    }
                }
                open.push(child);
            }
            Operator::Else => {
                let block = open.last_mut().ok_or_else(unbalanced)?;
                if !block.ghost {
                    let params = block.body.params.clone();
                    let then = std::mem::replace(&mut block.body, Sequence { params, items: Vec::new() });
                    block.then = Some(then);
                    block.dead = false;
                }
            }
            Operator::End => {
                let block = open.pop().ok_or_else(unbalanced)?;
                if open.is_empty() {
                    validator.op(offset, &operator).map_err(|e| malformed(&e))?;
                    operators.push(operator);
                    return Ok(Tree {
                        operators,
                        root: block.body,
                        locals: slots.locals,
                        params: ty.params().len(),
                        results: ty.results().to_vec(),
                    });
                }
                let parent = open.last_mut().ok_or_else(unbalanced)?;
                if !block.ghost {
                    parent.close(block, at, cuts);
                }
            }
            _ if dead => {}
            _ if cut => {
                let parent = open.last_mut().ok_or_else(unbalanced)?;
                let child = Child { stack, cuts: cuts..cuts + 1, what: What::Call(at) };
                parent.body.items.push(Item::Child(child));
                cuts += 1;
            }
            other => {
                let parent = open.last_mut().ok_or_else(unbalanced)?;
                parent.body.plain(at);
                parent.dead = matches!(
                    other,
                    Operator::Br { .. } | Operator::BrTable { .. } | Operator::Return | Operator::Unreachable
                );
            }
        }
        validator.op(offset, &operator).map_err(|e| malformed(&e))?;
        operators.push(operator);
    }
    Err(unbalanced())
}

impl Open {
    fn new(begin: usize, stack: Vec<Slot>, first_cut: u32) -> Self {
        let body = Sequence::default();
        Self { begin, stack, first_cut, body, then: None, dead: false, ghost: false }
    }

    fn look(&mut self, stack: Vec<Slot>, cuts: &mut u32) {
        let child = Child { stack, cuts: *cuts..*cuts + 1, what: What::Look };
        self.body.items.push(Item::Child(child));
        *cuts += 1;
    }

    /// Takes in a block that ended at operator `end`.
    fn close(&mut self, block: Open, end: usize, cuts: u32) {
        if block.first_cut == cuts {
            // No cut inside: as it was, its dead code included.
            for at in block.begin..=end {
                self.body.plain(at);
            }
            return;
        }
        let (body, otherwise) = match block.then {
            Some(then) => (then, Some(block.body)),
            None => (block.body, None),
        };
        let what = What::Block { begin: block.begin, body, otherwise };
        let child = Child { stack: block.stack, cuts: block.first_cut..cuts, what };
        self.body.items.push(Item::Child(child));
    }
}

struct Slots {
    map: BTreeMap<(usize, &'static str), Slot>,
    locals: Vec<ValType>,
}

impl Slots {
    /// The slots of everything on the operand stack above the innermost block's bottom.
    fn stack(
        &mut self,
        validator: &wasmparser::FuncValidator<wasmparser::ValidatorResources>,
    ) -> Result<Vec<Slot>, PrepareError> {
        let height = validator.operand_stack_height() as usize;
        let bottom = validator.get_control_frame(0).map_or(0, |frame| frame.height);
        let mut found = Vec::new();
        for at in bottom..height {
            let ty = validator.get_operand_type(height - 1 - at).flatten().ok_or_else(unbalanced)?;
            let name = match ty {
                ValType::I32 => "i32",
                ValType::I64 => "i64",
                ValType::F32 => "f32",
                ValType::F64 => "f64",
                ValType::V128 => "v128",
                ValType::Ref(_) => {
                    return Err(PrepareError::Cannot("it holds a reference across a call".into()));
                }
            };
            let locals = &mut self.locals;
            found.push(*self.map.entry((at, name)).or_insert_with(|| {
                locals.push(ty);
                Slot(locals.len() as u32 - 1)
            }));
        }
        Ok(found)
    }
}

fn is_cut(summary: &Summary<'_>, calls: &Calls, operator: &Operator<'_>) -> bool {
    match operator {
        Operator::Call { function_index } => {
            calls.rewritten.contains(function_index) || summary.waits.contains(function_index)
        }
        Operator::CallIndirect { type_index, .. } => calls.indirect.contains(type_index),
        _ => false,
    }
}

fn param_count(summary: &Summary<'_>, ty: BlockType) -> usize {
    match ty {
        BlockType::FuncType(index) => summary.types[index as usize].params().len(),
        BlockType::Empty | BlockType::Type(_) => 0,
    }
}

fn unbalanced() -> PrepareError {
    PrepareError::NotWasm("its blocks or its operand stack do not match".into())
}
