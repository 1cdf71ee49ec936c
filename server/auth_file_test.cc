#include "server/auth_file.h"

#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace winnow {
namespace {

using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

// No eight characters of these could be a tenant's name.
constexpr char kToken1[] = "aB3~dE6~gH9~jK2~mN5~";
constexpr char kToken2[] = "Zz~Yy~Xx~Ww~Vv~Uu~Tt~Ss~";

std::string ExampleFile() {
  return absl::StrReplaceAll(R"json({"tenants": [
    {"name": "search", "tokens": ["$1"], "max_concurrent_requests": 8,
     "max_tokens_per_minute": 120000, "max_priority": -2, "rpcs": ["Generate", "GetModelInfo"]},
    {"name": "a.b_c-D9", "tokens": ["$2", "0123456789abcdef"]}
  ]})json",
                             {{"$1", kToken1}, {"$2", kToken2}});
}

// One tenant named t with one token, and these fields.
std::string WithFields(const std::string& fields) {
  return absl::StrCat(R"({"tenants": [{"name": "t", "tokens": [")", kToken1, R"("])", fields,
                      "}]}");
}

std::string ErrorOf(const std::string& text) {
  const auto tenants = ParseAuthFile(text);
  return tenants.ok() ? "" : std::string(tenants.status().message());
}

TEST(AuthFileTest, ReadsEverything) {
  const auto tenants = ParseAuthFile(ExampleFile());
  ASSERT_TRUE(tenants.ok()) << tenants.status();
  ASSERT_THAT(*tenants, SizeIs(2));
  const TenantConfig& search = (*tenants)[0];
  EXPECT_EQ(search.name, "search");
  EXPECT_THAT(search.tokens, ElementsAre(HashToken(kToken1)));
  EXPECT_EQ(search.limits.max_concurrent_requests, 8);
  EXPECT_EQ(search.limits.max_tokens_per_minute, 120'000);
  EXPECT_EQ(search.limits.max_priority, -2);
  EXPECT_TRUE(search.limits.Allows(Rpc::kGenerate));
  EXPECT_TRUE(search.limits.Allows(Rpc::kGetModelInfo));
  EXPECT_FALSE(search.limits.Allows(Rpc::kTokenize));
  EXPECT_FALSE(search.limits.Allows(Rpc::kDetokenize));
  EXPECT_FALSE(search.limits.Allows(Rpc::kGetLoad));
  const TenantConfig& other = (*tenants)[1];
  EXPECT_EQ(other.name, "a.b_c-D9");
  EXPECT_THAT(other.tokens, ElementsAre(HashToken(kToken2), HashToken("0123456789abcdef")));
  EXPECT_FALSE(other.limits.max_concurrent_requests.has_value());
  EXPECT_FALSE(other.limits.max_tokens_per_minute.has_value());
  EXPECT_FALSE(other.limits.max_priority.has_value());
  EXPECT_TRUE(other.limits.Allows(Rpc::kGetLoad));
}

TEST(AuthFileTest, HashIsSha256) {
  // FIPS 180-2, appendix B.1.
  EXPECT_EQ(HashToken("abc")[0], 0xba);
  EXPECT_EQ(HashToken("abc")[31], 0xad);
}

struct Wrong {
  std::string text;
  std::string message;
};

TEST(AuthFileTest, ErrorsNameTenantKeyAndValue) {
  const Wrong cases[] = {
      {"", "is not valid JSON at line 1, column 1"},
      {"{\"tenants\":\n  [}", "is not valid JSON at line 2, column 4"},
      {std::string("{}\0", 3), "has a NUL"},
      {"[]", "the file is a list; it must be an object"},
      {"{}", "tenants must be a list of 1 to 10000"},
      {R"({"tenants": {}})", "tenants must be a list"},
      {R"({"tenants": []})", "tenants must be a list"},
      {R"({"tenants": [], "tenants": []})", "has a key twice in one object"},
      {R"({"tenants": [], "users": []})", "tenants must be a list"},
      {R"({"tenants": [7]})", "tenants[0] is 7; it must be an object"},
      {R"({"tenants": [{}]})", "tenants[0]: name is missing"},
      {R"({"tenants": [{"name": 5}]})", "tenants[0]: name is 5; it must be 1 to 64 letters"},
      {R"({"tenants": [{"name": "a b"}]})", "name is \"a b\"; it must be"},
      {R"({"tenants": [{"name": ""}]})", "name is \"\"; it must be"},
      {R"({"tenants": [{"name": "t"}]})",
       "tenants[0] (t): tokens must be a list of 1 to 16 strings"},
      {R"({"tenants": [{"name": "t", "tokens": []}]})", "tokens must be a list of 1 to 16"},
      {R"({"tenants": [{"name": "t", "tokens": [1]}]})", "tokens must be a list of 1 to 16"},
      {R"({"tenants": [{"name": "t", "tokens": ["0123456789abcde"]}]})",
       "tenants[0] (t): tokens[0] has 15 bytes; a token is 16 to 512 printable ASCII"},
      {R"({"tenants": [{"name": "t", "tokens": ["0123456789 abcdef"]}]})",
       "tokens[0] has 17 bytes, some not allowed"},
      {WithFields(R"(, "max_tokens": 5)"), "tenants[0] (t) has an unknown key: \"max_tokens\""},
      {WithFields(R"(, "max_concurrent_requests": 0)"),
       "tenants[0] (t): max_concurrent_requests is 0; it must be a whole number from 1 to"},
      {WithFields(R"(, "max_concurrent_requests": 1.5)"), "max_concurrent_requests is 1.5"},
      {WithFields(R"(, "max_tokens_per_minute": "many")"), "max_tokens_per_minute is \"many\""},
      {WithFields(R"(, "max_tokens_per_minute": null)"), "max_tokens_per_minute is null"},
      {WithFields(R"(, "max_tokens_per_minute": 18446744073709551615)"),
       "max_tokens_per_minute is 18446744073709551615"},
      {WithFields(R"(, "max_tokens_per_minute": 1e999)"), "a number that is too large"},
      {WithFields(R"(, "max_priority": 2147483648)"), "max_priority is 2147483648"},
      {WithFields(R"(, "rpcs": [])"), "rpcs must be a list of 1 to 5 strings"},
      {WithFields(R"(, "rpcs": ["Chat"])"), "rpcs has \"Chat\"; there are Generate, Tokenize"},
      {WithFields(R"(, "rpcs": ["Generate", "Generate"])"), "rpcs has \"Generate\" twice"},
  };
  for (const Wrong& c : cases) EXPECT_THAT(ErrorOf(c.text), HasSubstr(c.message)) << c.text;
}

TEST(AuthFileTest, NamesAndTokensAreUnique) {
  const std::string same_name = absl::StrReplaceAll(ExampleFile(), {{"a.b_c-D9", "search"}});
  EXPECT_EQ(ErrorOf(same_name), "two tenants are named search");
  const std::string same_token = absl::StrReplaceAll(ExampleFile(), {{kToken2, kToken1}});
  EXPECT_EQ(ErrorOf(same_token), "tenants search and a.b_c-D9 have a token in common");
}

// Wherever a token stands by mistake, no error shows it.
TEST(AuthFileTest, ErrorsNeverShowATokenInTheWrongPlace) {
  const std::string token = absl::StrCat("\"", kToken1, "\"");
  for (const std::string& text : {
           absl::StrCat(R"({"tenants": [{"name": )", token, "}]}"),
           absl::StrCat(R"({"tenants": [{"name": "t", "tokens": )", token, "}]}"),
           absl::StrCat(R"({"tenants": [{"name": "t", "tokens": {)", token, ": 1}}]}"),
           absl::StrCat(R"({"tenants": [{)", token, ": 1, ", token, ": 1}]}"),
           absl::StrCat(R"({"tenants": [{"name": "t", )", token, ": 1}]}"),
           absl::StrCat(R"({"tenants": )", token, "}"),
           absl::StrCat("{", token, "}"),
           token,
           std::string(kToken1),
           WithFields(absl::StrCat(", \"max_priority\": ", token)),
           WithFields(absl::StrCat(", \"rpcs\": [", token, "]")),
           WithFields(absl::StrCat(", ", token, ": 1")),
       }) {
    EXPECT_THAT(ErrorOf(text), Not(Eq(""))) << text;
    EXPECT_THAT(ErrorOf(text), Not(HasSubstr(kToken1))) << text;
  }
}

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : random_(seed) {}

  std::string Mutate(std::string text) {
    for (uint64_t i = 1 + Below(4); i > 0; --i) MutateOnce(&text);
    return text;
  }

 private:
  uint64_t Below(uint64_t n) { return random_() % n; }

  void MutateOnce(std::string* text) {
    static const std::vector<std::string> kWords = {"\"",
                                                    "{",
                                                    "}",
                                                    "[",
                                                    "]",
                                                    ",",
                                                    ":",
                                                    "null",
                                                    "-1",
                                                    "1e9",
                                                    "0",
                                                    "\\u0000",
                                                    "\xff",
                                                    "\"name\"",
                                                    "\"tokens\": ",
                                                    "\"rpcs\": [\"GetLoad\"]",
                                                    "\"max_priority\": 3"};
    const size_t at = Below(text->size() + 1);
    const size_t length = std::min<size_t>(Below(30), text->size() - at);
    switch (Below(5)) {
      case 0:
        text->erase(at, length);
        break;
      case 1:
        text->insert(at, text->substr(Below(text->size() + 1), Below(40)));
        break;
      case 2:
        text->insert(at, kWords[Below(kWords.size())]);
        break;
      case 3:
        if (at < text->size()) (*text)[at] = static_cast<char>(Below(256));
        break;
      default:
        text->replace(at, length, kWords[Below(kWords.size())]);
    }
  }

  std::mt19937_64 random_;
};

bool Shows16CharactersOf(const std::string& token, const std::string& message) {
  for (size_t i = 0; i + 16 <= token.size(); ++i) {
    if (message.find(token.substr(i, 16)) != std::string::npos) return true;
  }
  return false;
}

TEST(AuthFileTest, RandomMutationsNeitherCrashNorLeakNorBreakTheRules) {
  Mutator mutator(1);
  int accepted = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::string text = mutator.Mutate(ExampleFile());
    const auto tenants = ParseAuthFile(text);
    if (!tenants.ok()) {
      const std::string message(tenants.status().message());
      ASSERT_FALSE(message.empty());
      for (const char* token : {kToken1, kToken2}) {
        ASSERT_FALSE(Shows16CharactersOf(token, message)) << message << "\n" << text;
      }
      continue;
    }
    ++accepted;
    std::set<std::string> names;
    std::set<TokenHash> tokens;
    for (const TenantConfig& tenant : *tenants) {
      ASSERT_TRUE(names.insert(tenant.name).second);
      ASSERT_FALSE(tenant.tokens.empty());
      for (const TokenHash& token : tenant.tokens) ASSERT_TRUE(tokens.insert(token).second);
    }
  }
  EXPECT_GT(accepted, 100) << "the mutations are too wild";
}

}  // namespace
}  // namespace winnow
