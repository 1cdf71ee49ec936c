#include "tests/e2e/scrape.h"

#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "kernels/check.h"
#include "tests/e2e/http_get.h"

namespace winnow {
namespace {

// The family of a sample: its name, or that without what histograms and summaries add.
ScrapedFamily& FamilyOf(absl::string_view sample_name, Scrape* scrape) {
  const auto whole = scrape->families.find(std::string(sample_name));
  if (whole != scrape->families.end()) return whole->second;
  for (const char* suffix : {"_bucket", "_count", "_sum"}) {
    absl::string_view stem = sample_name;
    if (!absl::ConsumeSuffix(&stem, suffix)) continue;
    const auto family = scrape->families.find(std::string(stem));
    if (family != scrape->families.end()) return family->second;
  }
  WINNOW_CHECK(false) << "no TYPE before " << std::string(sample_name);
  return scrape->families.begin()->second;
}

// No label of this server's has a comma in its value.
void AddLabels(absl::string_view labels, ScrapedFamily* family) {
  for (const absl::string_view label : absl::StrSplit(labels, ',', absl::SkipEmpty())) {
    const absl::string_view name = label.substr(0, label.find('='));
    if (name != "le" && name != "quantile") family->labels.insert(std::string(name));
  }
}

void AddSample(absl::string_view line, Scrape* scrape) {
  const size_t space = line.rfind(' ');
  WINNOW_CHECK(space != absl::string_view::npos) << std::string(line);
  const absl::string_view sample = line.substr(0, space);
  double value = 0;
  WINNOW_CHECK(absl::SimpleAtod(line.substr(space + 1), &value)) << std::string(line);
  WINNOW_CHECK(scrape->samples.emplace(std::string(sample), value).second) << std::string(line);
  const std::vector<absl::string_view> parts = absl::StrSplit(sample, absl::MaxSplits('{', 1));
  ScrapedFamily& family = FamilyOf(parts[0], scrape);
  if (parts.size() == 2) AddLabels(absl::StripSuffix(parts[1], "}"), &family);
}

}  // namespace

double Scrape::at(const std::string& sample) const {
  const auto found = samples.find(sample);
  WINNOW_CHECK(found != samples.end()) << "no " << sample << " in\n" << text;
  return found->second;
}

Scrape ParseScrape(absl::string_view text) {
  Scrape scrape;
  scrape.text = std::string(text);
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    if (absl::ConsumePrefix(&line, "# TYPE ")) {
      const std::pair<std::string, std::string> name_type = absl::StrSplit(line, ' ');
      WINNOW_CHECK(scrape.families.count(name_type.first) == 0) << name_type.first;
      scrape.families[name_type.first].type = name_type.second;
    } else if (!absl::StartsWith(line, "#")) {
      AddSample(line, &scrape);
    }
  }
  return scrape;
}

Scrape ScrapePort(int port) {
  const auto text = HttpGet(port, "/metrics");
  WINNOW_CHECK(text.ok()) << text.status();
  return ParseScrape(*text);
}

}  // namespace winnow
