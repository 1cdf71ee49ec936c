#include "client/load/html_page.h"

#include "absl/strings/str_cat.h"
#include "client/load/svg_plot.h"

namespace winnow::load {
namespace {

constexpr char kStyle[] =
    "body{font:15px/1.45 sans-serif;color:#222222;background:#ffffff;max-width:900px;"
    "margin:24px auto;padding:0 16px}\n"
    "h1{font-size:24px}h2{font-size:18px;margin:32px 0 8px}\n"
    "table{border-collapse:collapse;margin:8px 0;font-size:14px}\n"
    "th,td{padding:4px 8px;text-align:right;white-space:nowrap;border-bottom:1px solid #dddddd}\n"
    "th{font-weight:600}th:first-child,td:first-child{text-align:left}\n"
    ".wide{overflow-x:auto}svg{width:100%;height:auto;margin:8px 0}\n"
    "p.note{color:#555555;font-size:13px}\n";

}  // namespace

std::string HtmlTable(const std::vector<HtmlRow>& rows) {
  std::string html = "<div class=\"wide\"><table>\n";
  for (size_t i = 0; i < rows.size(); ++i) {
    const char* cell = i == 0 ? "th" : "td";
    html += "<tr>";
    for (const std::string& text : rows[i]) {
      absl::StrAppend(&html, "<", cell, ">", EscapeXml(text), "</", cell, ">");
    }
    html += "</tr>\n";
  }
  return html + "</table></div>\n";
}

std::string HtmlPage(const std::string& title, const std::string& body) {
  const std::string heading = EscapeXml(title);
  return absl::StrCat(
      "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">\n<head>\n"
      "<meta charset=\"utf-8\"/>\n<meta name=\"viewport\" "
      "content=\"width=device-width, initial-scale=1\"/>\n<title>",
      heading, "</title>\n<style>\n", kStyle, "</style>\n</head>\n<body>\n<h1>", heading, "</h1>\n",
      body, "</body>\n</html>\n");
}

}  // namespace winnow::load
