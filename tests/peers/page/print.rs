//! The pages as they are printed, to PDF.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::browser::Browser;
use super::{fixture, provenance, screenshot_folder};
use crate::programs::{ProgramOutput, command};

/// Takes a PDF file. Prints the text of each page, and how many characters are outside of their page, as
/// JSON.
const READ_PDF: &str = "
import json, sys
import pypdfium2
document = pypdfium2.PdfDocument(sys.argv[1])
texts, outside = [], 0
for page in document:
    width, height = page.get_size()
    text = page.get_textpage()
    texts.append(text.get_text_range())
    for at in range(text.count_chars()):
        left, bottom, right, top = text.get_charbox(at)
        outside += left < 0 or bottom < 0 or right > width or top > height
print(json.dumps({'texts': texts, 'outside': outside}))
";

/// A web page as a PDF file.
struct PrintedPage {
    /// The whole text, without white space.
    text: String,
    sheet_count: usize,
}

/// Prints the page at `url` to `{name}.pdf` in the folder of screenshots, where no text may be cut off.
async fn print_to_pdf(browser: &Browser, url: &str, name: &str) -> PrintedPage {
    browser.open(url).await;
    let options = json!({"preferCSSPageSize": true, "printBackground": false});
    let printed = browser.devtools_command("Page.printToPDF", &options).await;
    let file = screenshot_folder().join(format!("{name}.pdf"));
    std::fs::write(&file, STANDARD.decode(printed["data"].as_str().unwrap()).unwrap()).unwrap();
    let json = ProgramOutput::run(command("readers-python").args(["-c", READ_PDF]).arg(&file))
        .await
        .success();
    let contents: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(contents["outside"], 0, "{url}");
    let texts: Vec<_> = contents["texts"].as_array().unwrap().iter().collect();
    let text: String = texts.iter().map(|text| text.as_str().unwrap()).collect();
    // A long word is broken anywhere, and a hyphen at the end of a line is read as U+FFFE.
    let text = text.replace('\u{fffe}', "-").split_whitespace().collect();
    PrintedPage { text, sheet_count: texts.len() }
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn printed_pages_have_the_content_without_the_navigation() {
    let recorder = fixture::InMemoryRecorder::start().await;
    provenance::record_provenance(&recorder).await;
    let browser = Browser::start().await;
    browser.emulate_display(1_280, "dark").await;
    let org = format!("{}/cyber-dojo", recorder.url);
    let prod = format!("{org}/environments/aws-prod");
    for (url, name, expected) in [
        (recorder.url.clone(), "print-home", &["aws-prod", "rogue", "Changes of the last day"][..]),
        (
            prod.clone(),
            "print-environment",
            &["Timeline", "evil/miner", "Last confirmed", "Lasted"],
        ),
        (
            format!("{prod}/snapshots/-1"),
            "print-snapshot",
            // The last column, and the whole of a fingerprint.
            &["Cluster and service", "Change", &fixture::fake_digest("evil/miner:latest")],
        ),
        (format!("{org}/compare?from=aws-prod%231&to=aws-prod"), "print-comparison", &["Started"]),
        (
            format!("{org}/artifacts/{}", fixture::fake_digest("runner:16d9990")),
            "print-artifact",
            &["Evidence", "History", "https://github.com/cyber-dojo/runner/commit/"],
        ),
        (format!("{org}/matrix"), "print-matrix", &["Versions in cyber-dojo", "evil/miner"]),
    ] {
        let printed = print_to_pdf(&browser, &url, name).await;
        for expected in expected {
            let expected: String = expected.split_whitespace().collect();
            assert!(printed.text.contains(&expected), "{url}: {expected}: {}", printed.text);
        }
        for navigation in
            ["SkiptotheContent", "Search", "Whatranat", "namecontains", "Scrollsideways"]
        {
            assert!(!printed.text.contains(navigation), "{url}: {navigation}: {}", printed.text);
        }
        assert!(printed.sheet_count < 9, "{url}: {} pages", printed.sheet_count);
    }
    // The shades of the timeline can be distinguished without colours.
    browser.devtools_command("Emulation.setEmulatedMedia", &json!({"media": "print"})).await;
    browser.open(&prod).await;
    let greys = browser
        .run_script(
            "const grey = (selector, property) => {
               const color = getComputedStyle(document.querySelector(selector))[property];
               const [red, green, blue] = color.match(/[0-9.]+/g).map(Number);
               return Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
             };
             return [grey('.legend .bar', 'fill'), grey('.legend .bar.ended', 'fill'),
                     grey('.legend .rollover', 'fill'), grey('body', 'backgroundColor')]",
        )
        .await;
    let greys: Vec<_> = greys.as_array().unwrap().iter().map(|it| it.as_i64().unwrap()).collect();
    assert!(greys.windows(2).all(|pair| pair[1] - pair[0] >= 35), "{greys:?}");
    browser.quit().await;
}
