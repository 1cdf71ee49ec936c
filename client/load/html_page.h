// Reports as HTML pages that need nothing else: no script, nothing loaded from anywhere. They are
// well-formed XML too.
#ifndef WINNOW_CLIENT_LOAD_HTML_PAGE_H_
#define WINNOW_CLIENT_LOAD_HTML_PAGE_H_

#include <string>
#include <vector>

namespace winnow::load {

// Cells are texts.
using HtmlRow = std::vector<std::string>;

// The first row is the head.
std::string HtmlTable(const std::vector<HtmlRow>& rows);

// A page with its title, a text, as heading; `body` is HTML.
std::string HtmlPage(const std::string& title, const std::string& body);

}  // namespace winnow::load

#endif  // WINNOW_CLIENT_LOAD_HTML_PAGE_H_
