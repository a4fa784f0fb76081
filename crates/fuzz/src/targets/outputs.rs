//! CloudFormation's answers to the command line.

use std::collections::BTreeMap;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::{Target, mutate};

#[path = "../../../dataless/src/local/outputs.rs"]
#[allow(dead_code, unreachable_pub, reason = "it is a module of a program")]
mod answer;

/// Answers of `DescribeStacks`.
#[derive(Debug)]
pub struct Outputs;

impl Target for Outputs {
    fn name(&self) -> &'static str {
        "outputs"
    }

    fn input(&mut self, rng: &mut Rng) -> Vec<u8> {
        let outputs: Vec<Value> = (0..rng.usize(..8))
            .map(|_| {
                let key = ["DataLakeBucket", "ApiId", "StageName", "ü\"", ""][rng.usize(..5)];
                let value = ["b", "https://x/\u{0}", "🦀", ""][rng.usize(..4)];
                json!({"OutputKey": key, "OutputValue": value, "Description": "x", "ExportName": null})
            })
            .collect();
        let stack =
            json!({"StackName": "dataless", "StackStatus": "CREATE_COMPLETE", "Outputs": outputs, "Parameters": []});
        let mut answer = json!({"Stacks": vec![stack; rng.usize(1..3)]}).to_string().into_bytes();
        mutate::damage(rng, &mut answer, &mutate::JSON);
        answer
    }

    fn check(&mut self, input: &[u8]) -> bool {
        let Ok(answer) = serde_json::from_slice(input) else { return false };
        let Ok(found) = answer::outputs_of(answer) else { return false };
        if let Ok(answer) = serde_json::from_slice::<Value>(input) {
            let listed = answer["Stacks"][0]["Outputs"].as_array().into_iter().flatten();
            let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{value} is not text")).to_owned();
            let expected: BTreeMap<String, String> =
                listed.map(|output| (text(&output["OutputKey"]), text(&output["OutputValue"]))).collect();
            assert_eq!(found, expected);
        }
        true
    }

    fn bound(&self) -> (usize, usize) {
        (256 << 10, 128)
    }
}
