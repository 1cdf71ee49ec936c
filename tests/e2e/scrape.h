// Scrape: what a server's /metrics says, taken apart.
#ifndef WINNOW_TESTS_E2E_SCRAPE_H_
#define WINNOW_TESTS_E2E_SCRAPE_H_

#include <map>
#include <set>
#include <string>

#include "absl/strings/string_view.h"

namespace winnow {

struct ScrapedFamily {
  std::string type;
  std::set<std::string> labels;  // but for the le and quantile of buckets and quantiles
};

struct Scrape {
  std::string text;
  std::map<std::string, ScrapedFamily> families;  // by name
  std::map<std::string, double> samples;          // by what stands before the value

  // REQUIRES: there is such a sample.
  double at(const std::string& sample) const;
};

// CHECKs that it is in Prometheus' text format, as far as this server uses it.
Scrape ParseScrape(absl::string_view text);
// Of the server whose metrics port this is.
Scrape ScrapePort(int port);

}  // namespace winnow

#endif  // WINNOW_TESTS_E2E_SCRAPE_H_
