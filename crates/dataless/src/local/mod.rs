//! The pieces of a warehouse on this machine. `warehouse` is at the top; none uses `commands` or `cli`.

pub mod aws;
pub mod books;
pub mod build;
pub mod catalog;
pub mod delivery;
pub mod deploy;
pub mod emulator;
pub mod lake;
pub mod load;
pub mod outputs;
pub mod pipeline;
pub mod raw_file;
pub mod realtime;
pub mod replayed;
pub mod sam;
pub mod spark;
pub mod stack;
pub mod tools;
pub mod traffic;
pub mod warehouse;
