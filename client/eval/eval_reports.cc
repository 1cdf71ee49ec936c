#include "client/eval/eval_reports.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "client/eval/eval_plots.h"
#include "client/eval/eval_table.h"
#include "client/eval/heat_map.h"
#include "client/load/html_page.h"
#include "client/load/svg_plot.h"
#include "client/load/text_table.h"

namespace winnow::eval {
namespace {

constexpr char kNote[] =
    "A text is right if all of its answers are exact. In parentheses: 95% confidence (Wilson; "
    "gaps: "
    "Newcombe), a text being one trial, of digits too, which are right or wrong together. Kept: "
    "tokens per head, beside the window. Bytes: of a sequence's state, at most, at that many "
    "tokens. "
    "us/token: of one sequence alone, at the longest prompt; tokens/s: of all prompts together.";

struct Section {
  std::string title;
  std::vector<Table> tables;
};

std::vector<Section> Sections(const EvalResult& result) {
  std::vector<Section> sections = {{"Exact answers", ResultTables(result, Figure::kExact)}};
  if (result.variants.size() > 1) {
    sections.push_back(
        {absl::StrCat(result.variants[0].name, " less the others, percentage points"),
         ResultTables(result, Figure::kGap)});
  }
  sections.push_back({"Right digits", ResultTables(result, Figure::kDigits)});
  return sections;
}

std::string HowMeasured(const EvalResult& result) {
  return absl::StrCat(result.date, ", seed ", result.seed, ", ", result.concurrency,
                      " requests in flight.");
}

std::string ToMarkdown(const Row& row) {
  return absl::StrCat(
      "| ",
      absl::StrJoin(
          row, " | ",
          [](std::string* out, const std::string& text) {
            *out += absl::StrReplaceAll(text, {{"|", "\\|"}, {"<", "&lt;"}, {"&", "&amp;"}});
          }),
      " |\n");
}

std::string ToMarkdown(const Table& table) {
  std::string text = absl::StrCat("\n", table.title, ":\n\n", ToMarkdown(table.rows[0]), "|");
  for (size_t i = 0; i < table.rows[0].size(); ++i) text += i == 0 ? "---|" : "---:|";
  text += '\n';
  for (size_t i = 1; i < table.rows.size(); ++i) text += ToMarkdown(table.rows[i]);
  return text;
}

std::string ToHtml(const Table& table) {
  return absl::StrCat("<h3>", load::EscapeXml(table.title), "</h3>\n", load::HtmlTable(table.rows));
}

std::string Pictures(const EvalResult& result) {
  std::string html;
  for (const VariantResult& variant : result.variants) {
    const HeatMap map = SingleFacts(result, variant);
    if (!map.rows.empty()) html += RenderHeatMap(map);
  }
  for (const load::Plot& plot : OverFacts(result)) html += RenderSvg(plot);
  return html.empty() ? "" : "<h2>Pictures</h2>\n" + html;
}

}  // namespace

std::string ResultToText(const EvalResult& result) {
  std::string text = "Exact answers, with 95% confidence\n";
  for (const Table& table : ResultTables(result, Figure::kExact)) {
    absl::StrAppend(&text, "\n", table.title, "\n", load::TextTable(table.rows));
  }
  absl::StrAppend(&text, "\nVariants\n", load::TextTable(VariantTable(result).rows));
  const Table errors = ErrorTable(result);
  if (errors.rows.size() == 1) return text;
  return absl::StrCat(text, "\n", errors.title, "\n", load::TextTable(errors.rows));
}

std::string ResultToMarkdown(const EvalResult& result) {
  std::string text =
      absl::StrCat(HowMeasured(result), " ", kNote, "\n", ToMarkdown(VariantTable(result)));
  for (const Section& section : Sections(result)) {
    absl::StrAppend(&text, "\n### ", section.title, "\n");
    for (const Table& table : section.tables) text += ToMarkdown(table);
  }
  const Table errors = ErrorTable(result);
  return errors.rows.size() == 1 ? text : text + ToMarkdown(errors);
}

std::string ResultToHtml(const EvalResult& result) {
  std::string body = absl::StrCat("<p>", load::EscapeXml(HowMeasured(result)),
                                  "</p>\n<p class=\"note\">", kNote, "</p>\n<h2>Variants</h2>\n",
                                  load::HtmlTable(VariantTable(result).rows), Pictures(result));
  for (const Section& section : Sections(result)) {
    absl::StrAppend(&body, "<h2>", load::EscapeXml(section.title), "</h2>\n");
    for (const Table& table : section.tables) body += ToHtml(table);
  }
  const Table errors = ErrorTable(result);
  if (errors.rows.size() > 1) {
    absl::StrAppend(&body, "<h2>", errors.title, "</h2>\n", load::HtmlTable(errors.rows));
  }
  return load::HtmlPage("Retrieval", body);
}

}  // namespace winnow::eval
