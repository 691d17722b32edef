//! Which functions can be on the stack when it is put away, and which can call themselves.

use super::summary::Summary;
use std::collections::{BTreeMap, BTreeSet};

/// What the call graph says.
pub(super) struct Calls {
    /// Functions to rewrite.
    pub(super) rewritten: BTreeSet<u32>,
    /// Of those, the ones that look at their entry, since they may recurse without a loop.
    pub(super) recursive: BTreeSet<u32>,
    /// Types through which `call_indirect` may reach a rewritten function.
    pub(super) indirect: BTreeSet<u32>,
}

/// Functions are nodes `0..functions`; each type through which something is called indirectly is a node after them.
struct Graph {
    out: Vec<Vec<u32>>,
}

pub(super) fn analyse(summary: &Summary<'_>) -> Calls {
    let functions = summary.functions.len() as u32;
    let mut graph = Graph { out: vec![Vec::new(); functions as usize] };
    let mut type_nodes: BTreeMap<u32, u32> = BTreeMap::new();
    for (body, index) in summary.bodies.iter().zip(summary.imported..) {
        let mut edges: Vec<u32> = body.calls.iter().copied().collect();
        for ty in &body.indirect {
            let node = *type_nodes.entry(*ty).or_insert_with(|| {
                graph.out.push(reached(summary, *ty));
                graph.out.len() as u32 - 1
            });
            edges.push(node);
        }
        graph.out[index as usize] = edges;
    }

    let cyclic = graph.cyclic();
    let recursive: BTreeSet<u32> =
        cyclic.iter().copied().filter(|node| *node < functions && !summary.is_import(*node)).collect();
    let looping =
        summary.bodies.iter().zip(summary.imported..).filter(|(body, _)| body.loops).map(|(_, index)| index);
    let roots: Vec<u32> =
        looping.chain(recursive.iter().copied()).chain(summary.waits.iter().copied()).collect();
    let reaching = graph.reaching(&roots);
    Calls {
        rewritten: reaching
            .iter()
            .copied()
            .filter(|node| *node < functions && !summary.is_import(*node))
            .collect(),
        recursive,
        indirect: type_nodes.iter().filter(|(_, node)| reaching.contains(node)).map(|(ty, _)| *ty).collect(),
    }
}

fn reached(summary: &Summary<'_>, ty: u32) -> Vec<u32> {
    let wanted = &summary.types[ty as usize];
    summary.addressed.iter().copied().filter(|function| summary.type_of(*function) == wanted).collect()
}

impl Graph {
    /// All nodes from which one of `roots` can be reached, with the roots.
    fn reaching(&self, roots: &[u32]) -> BTreeSet<u32> {
        let mut into = vec![Vec::new(); self.out.len()];
        for (from, edges) in self.out.iter().enumerate() {
            for to in edges {
                into[*to as usize].push(from as u32);
            }
        }
        let mut found: BTreeSet<u32> = roots.iter().copied().collect();
        let mut left: Vec<u32> = found.iter().copied().collect();
        while let Some(node) = left.pop() {
            for from in &into[node as usize] {
                if found.insert(*from) {
                    left.push(*from);
                }
            }
        }
        found
    }

    /// All nodes on a cycle (Tarjan 1972, without recursion).
    fn cyclic(&self) -> BTreeSet<u32> {
        const NEW: u32 = u32::MAX;
        let count = self.out.len();
        let (mut index, mut low) = (vec![NEW; count], vec![0u32; count]);
        let mut on_stack = vec![false; count];
        let (mut stack, mut next) = (Vec::new(), 0u32);
        let mut found = BTreeSet::new();
        for root in 0..count {
            if index[root] != NEW {
                continue;
            }
            let mut work = vec![(root, 0usize)];
            while let Some((node, edge)) = work.pop() {
                if edge == 0 {
                    index[node] = next;
                    low[node] = next;
                    next += 1;
                    stack.push(node);
                    on_stack[node] = true;
                }
                if let Some(to) = self.out[node].get(edge).map(|to| *to as usize) {
                    work.push((node, edge + 1));
                    if index[to] == NEW {
                        work.push((to, 0));
                    } else if on_stack[to] {
                        low[node] = low[node].min(index[to]);
                    }
                    continue;
                }
                if let Some((parent, _)) = work.last() {
                    low[*parent] = low[*parent].min(low[node]);
                }
                if low[node] == index[node] {
                    let begin = stack.iter().rposition(|n| *n == node).unwrap_or(0);
                    let part = stack.split_off(begin);
                    let itself = self.out[node].contains(&(node as u32));
                    for member in &part {
                        on_stack[*member] = false;
                        if part.len() > 1 || itself {
                            found.insert(*member as u32);
                        }
                    }
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_and_what_reaches_them() {
        // 0 -> 1 -> 2 -> 1, 3 -> 3, 4 -> 3, 5
        let graph = Graph { out: vec![vec![1], vec![2], vec![1], vec![3], vec![3], vec![]] };
        assert_eq!(graph.cyclic(), BTreeSet::from([1, 2, 3]));
        assert_eq!(graph.reaching(&[3]), BTreeSet::from([3, 4]));
        assert_eq!(graph.reaching(&[2]), BTreeSet::from([0, 1, 2]));
    }
}
