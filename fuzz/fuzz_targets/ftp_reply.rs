//! Replies of an FTP server.
#![no_main]

use hourdrop::remote::Outcome;
use hourdrop::remote::ftp::facts::{extended_port, feature_lines, hashes, plain_address};
use hourdrop::remote::ftp::reply::Reply;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(reply) = Reply::read(data) else { return };
    assert!(reply.code() <= 999);
    std::hint::black_box((reply.number(), reply.features().contains("SIZE"), reply.says_no_files()));
    std::hint::black_box((extended_port(&reply), plain_address(&reply)));
    let features = feature_lines(reply.text());
    assert!(!features.iter().any(|line| line.chars().any(char::is_control)), "a feature with a control character");
    std::hint::black_box(hashes(&features));
    if let Some(path) = reply.quoted_path() {
        assert!(!path.chars().any(char::is_control), "a path with a control character");
    }
    for operation in ["login", "size", "list", "upload", "rename", "remove", "create directory"] {
        let said = reply.fault(operation, Outcome::NotDone).to_string();
        assert!(!said.chars().any(|c| c.is_control() && c != '\n'), "a message with a control character: {said:?}");
    }
});
