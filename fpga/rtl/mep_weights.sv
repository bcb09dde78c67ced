// The weights of a node in words of P: block RAM with its output register, so a word is there two cycles after its
// address.
module mep_weights #(
`include "mep_config.svh"
) (
    input  logic            clk,
    input  logic [AW-1:0]   address,
    output logic [P*WB-1:0] word,
    input  logic            write,
    input  logic [AW-1:0]   write_address,
    input  logic [P*WB-1:0] write_word
);
    (* ram_style = "block" *) logic [P*WB-1:0] memory[0:WEIGHT_WORDS-1];
    logic [P*WB-1:0] fetched;
    initial $readmemh(WEIGHTS_FILE, memory);
    always_ff @(posedge clk) begin
        if (write) memory[write_address] <= write_word;
        fetched <= memory[address];
        word <= fetched;
    end
endmodule
