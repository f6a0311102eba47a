//! The commands that need no agent, module by module: the program itself is started elsewhere.

#![expect(clippy::expect_used, reason = "a file that can't be read is a failed test")]

#[path = "../../src/input.rs"]
mod input;
#[path = "../../src/json.rs"]
mod json;
#[path = "../../src/parse/mod.rs"]
mod parse;
#[path = "../../src/replay/mod.rs"]
mod replay;
#[path = "../../src/vectors.rs"]
mod vectors;

mod parse_command;
mod replay_command;
