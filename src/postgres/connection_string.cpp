#include "postgres/connection_string.h"

#include <algorithm>
#include <cstdlib>
#include <utility>
#include <vector>

namespace deja::postgres {
namespace {

using Parameters = std::vector<std::pair<std::string, std::string>>;

std::string whole_seconds(std::chrono::milliseconds time) {
  return std::to_string(std::max<long long>(1, (time.count() + 999) / 1000));
}

// Values here are our own words and numbers: letters, digits, blanks and dashes.
std::string percent_encoded(const std::string& value) {
  static constexpr char hex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || c == '-' || c == '_' || c == '.') {
      out += c;
    } else {
      out += '%';
      out += hex[byte >> 4];
      out += hex[byte & 15];
    }
  }
  return out;
}

std::string quoted_word(const std::string& value) {
  std::string out = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

bool sets_in_url(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const auto part = query.substr(0, query.find('&'));
    if (part.substr(0, part.find('=')) == name) return true;
    query.remove_prefix(std::min(query.size(), part.size() + 1));
  }
  return false;
}

// A name in a value could be taken for a parameter: then ours is left out, which is harmless.
bool sets_in_words(std::string_view words, std::string_view name) {
  for (auto at = words.find(name); at != std::string_view::npos; at = words.find(name, at + 1)) {
    if (at > 0 && words[at - 1] != ' ') continue;
    const auto rest = words.substr(at + name.size());
    const auto next = rest.find_first_not_of(' ');
    if (next != std::string_view::npos && rest[next] == '=') return true;
  }
  return false;
}

Parameters wanted(const ConnectionOptions& options) {
  Parameters all{{"application_name", "deja " + options.what}, {"client_encoding", "UTF8"}, {"keepalives", "1"}};
  if (options.connect_timeout.count() > 0 && std::getenv("PGCONNECT_TIMEOUT") == nullptr) {
    all.emplace_back("connect_timeout", whole_seconds(options.connect_timeout));
  }
  if (options.lost_after.count() > 0) {
    all.emplace_back("keepalives_idle", whole_seconds(options.lost_after / 2));
    all.emplace_back("keepalives_interval", whole_seconds(options.lost_after / 4));
    all.emplace_back("keepalives_count", "2");
    all.emplace_back("tcp_user_timeout", std::to_string(options.lost_after.count()));
  } else {
    all.emplace_back("keepalives_idle", "30");
    all.emplace_back("keepalives_interval", "10");
    all.emplace_back("keepalives_count", "3");
  }
  return all;
}

}  // namespace

bool is_url(std::string_view text) { return text.starts_with("postgres://") || text.starts_with("postgresql://"); }

std::string connection_string(const ConnectionOptions& options) {
  std::string text = options.url;
  // client_encoding is ours to decide: everything deja reads and writes is UTF-8. Later parameters win in libpq.
  const auto ours = [](const std::string& name) { return name == "client_encoding"; };
  if (is_url(text)) {
    const auto mark = text.find('?');
    const auto query = mark == std::string::npos ? std::string() : text.substr(mark + 1);
    char separator = mark == std::string::npos ? '?' : '&';
    if (mark != std::string::npos && query.empty()) text.pop_back(), separator = '?';
    for (const auto& [name, value] : wanted(options)) {
      if (!ours(name) && sets_in_url(query, name)) continue;
      text += separator + name + "=" + percent_encoded(value);
      separator = '&';
    }
    return text;
  }
  const auto words = text;
  for (const auto& [name, value] : wanted(options)) {
    if (ours(name) || !sets_in_words(words, name)) text += (text.empty() ? "" : " ") + name + "=" + quoted_word(value);
  }
  return text;
}

std::string with_database(std::string_view url, std::string_view database) {
  if (!is_url(url)) return std::string(url) + (url.empty() ? "" : " ") + "dbname=" + quoted_word(std::string(database));
  const auto authority = url.find("://") + 3;
  const auto mark = std::min(url.find('?', authority), url.size());
  const auto slash = std::min(url.find('/', authority), mark);
  return std::string(url.substr(0, slash)) + "/" + percent_encoded(std::string(database)) + std::string(url.substr(mark));
}

}  // namespace deja::postgres
